"""Common Chinese characters that look alike, as they are confused in handwriting, on scans and by input methods."""

from collections.abc import Iterable

GROUPS = """
已己巳 未末 人入八 大太犬 天夫 土士 干于千 木术 本体休 日曰 目自白 且旦 石右 左在 电申甲由田 牛午 厂广 刀力 贝见 鸟乌
几儿九 王玉主 尤龙 万方 从丛 户尸 斤斥 斗头 今令 冷冶 代伐 氏民 兵乒乓 司可何 以似 我找 的约 了子 很恨狠 好奸 店底
间问闻闪 服报 便使 住往佳柱 没设 要耍 来米 去丢 都部 早旱草 差羞 净争 前剪 晚挽 价介 格络 两丙雨 给拾恰 话活 说悦锐
看着 里埋 外处 车东 买卖 贵责 折拆析 抱跑泡炮饱 晴睛清情请 哪那 快块决 坐座 孩该核刻 极级吸 侍待持 候侯 拨拔 换唤 喝渴
暖缓援 漂飘 慢漫 幕墓慕 辛幸 还环坏怀杯 陪赔培 拖施 烧绕浇晓 蓝篮 检捡险验脸 洁结 酒洒 般船航 宜宣 官宫 寒塞赛 客容
窄穿 竟竞 免兔 床庆 庄压 厌灰 根跟限银 眼眠 现规观视 忙茫 菜莱 苦若 贫贪 货贷 起赶 退腿 近返 班斑 玻破坡波 披被 浅钱线
错借惜 销消稍 准淮 推堆谁难 集焦 雪雷需 顺须项顶 饭饮饥 饿俄 骗编偏遍篇 黑墨 小少 为办 下卞 房庐 务备 早旦 吃吐 吵炒抄
味昧 汤场扬 肉内 空穷 气汽 水永 浴俗 漏满 凉谅 风凤 墙增 门们 号另 钥钓 锁销 楼搂 梯样 地池他 这文 送迭 道遁 图圆 因困
国围 团因 回四 字宇 学字 读续 影景 片斥 明朋 期朝 年午 老考 孝教 男界 师帅 傅博 经轻 理埋 度席 认队 假暇 差着 坏坯
值直 角用 百白 货贺 质盾 量重 新亲 旧归 用甩 换挽 修俺 屏屋 键健 声芦 音昔 拍柏 拿拳 提堤 投技 护炉 抢枪 拌伴
"""


def alternatives(groups: Iterable[str]) -> dict[str, str]:
    """Return the other characters of the groups of each character, each once, in the order of the groups."""
    others = {}
    for group in groups:
        for character in group:
            known = others.get(character, "")
            others[character] = known + "".join(each for each in group if each not in character + known)
    return others


LOOK_ALIKES = alternatives(GROUPS.split())
