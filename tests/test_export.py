"""Write the `.onnx` file of a model: the command."""

from recipes import export


def test_a_missing_model_is_one_error(tmp_path, capsys):
    assert export.main([str(tmp_path / "none.keras")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "no such model file" in error
