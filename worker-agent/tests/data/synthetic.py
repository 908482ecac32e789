#!/usr/bin/env python3
"""Writes the two made-up streams, unicode_40x10.bin and modes_30x8.bin."""
import os
here = os.path.dirname(os.path.abspath(__file__))
lines = ["ASCII then 漢字 then ASCII", "ｆｕｌｌｗｉｄｔｈ ２０ columns over the edge of forty 終",
         "a\u0301e\u0302o\u0308 combining, x\u0323\u0307 twice", "👩\u200d👩\u200d👧\u200d👦 family 🏳\ufe0f\u200d🌈 flag 🇫🇷",
         "العربية עברית हिन्दी ไทย", "box ┌─┬─┐ │ ▓▒░ ▁▂▃ ⠿ braille", "0123456789" * 9,
         "漢" * 45, "tab\tstop\tand\u00a0nbsp\u2003em", "zero\u200bwidth\u200djoin\ufeff"]
text = ""
for number, line in enumerate(lines * 3):
    text += f"\x1b[{30 + number % 8};{40 + (number + 3) % 8}m{line}\x1b[0m\r\n"
text += "\x1b[3;20H漢\x1b[3;21HX\x1b[4;1H字\x1b[4;2H\x1b[K\x1b[5;39H漢字\x1b[2;5H\x1b[3P\x1b[2@\x1b[1X"
open(os.path.join(here, "unicode_40x10.bin"), "wb").write(text.encode() + b"\xff\xc3bad\x80\xe6\xbc ok")
m = "\x1b]2;modes\x07\x1b[?1h\x1b=\x1b[?2004h\x1b[?1003;1006h\x1b[?1004h\x1b[4 q"
for n in range(12):
    m += f"\x1b[{n + 1}mstyle {n}\x1b[4:{n % 6};58:5:{n}m under\x1b[m \x1b[38;2;{n};{n*9};7mtrue\x1b[m\r\n"
m += "\x1b[2;6r\x1b[?6h\x1b[1;1H\x1b[44mtop\x1b[K\x1b[m" + "\r\nregion" * 7 + "\x1b[3;3H\x1b[4hINS\x1b[4l\x1bM\x1bM\x1bM"
m += "\x1b[?6l\x1b[r\x1b[3g" + "".join(f"\x1b[{c}G\x1bH" for c in (4, 9, 20)) + "\r\ta\tb\tc\td\x1b[2Z<"
m += "\x1b(0lqqqk\x1b(B \x1b)0\x0exxx\x0f\x1b7\x1b[31mgone\x1b8here\x1b[?7l" + "no wrap " * 6 + "\x1b[?7h"
m += "\x1b[7;29Hed\x1b[?1049h\x1b[42m\x1b[2J\x1b[H alternate \x1b[5;5H\x1b7\x1b[>1u\x1b[>7u\x1b[8;1H" + "=" * 30
m += "\x1b]9;hello\x07\x1b]777;notify;a;b\x1b\\\x1b]9;4;1;50\x07\x1b[?25l\x1b[2;2Hx\x1b[20b\x1b8\x1b[1;31mR"
m += "\x1b[?1049l\x1b[?25h back\x1b[2J\x1b[Hcleared\x1b#8\x1b[2;2H\x1b[1J\x1b[3;3H\x1b[1K\x1b[5;5H\x1b[J" + "w" * 65
m += "\x1b[?5h\x1b]8;id=1;http://example.com\x1b\\link\x1b]8;;\x1b\\\x1b[2S\x1b[T\x1b[3;1H\x1b[2L\x1b[M"
open(os.path.join(here, "modes_30x8.bin"), "wb").write(m.encode())
