"""What every whole run is made of: its folder, its models, its data, and the answers of its teachers."""
