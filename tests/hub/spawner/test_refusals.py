"""What a failed start shows."""

from __future__ import annotations

from cellar_hub.spawner.refusals import LINES, LONGEST_LINE, StartRefused, last_lines


def test_the_end_of_a_log_is_kept_bounded() -> None:
    lines = last_lines(b"\n".join(b"line %d" % number for number in range(10_000)) + b"\n\n")
    assert len(lines) == LINES and lines[-1] == "line 9999"
    (long,) = last_lines(b"x" * 1_000_000)
    assert len(long) == LONGEST_LINE and long.endswith("…")


def test_control_characters_and_what_turns_text_around_are_taken_out() -> None:
    log = "a\x1b[31mred\x1b[0m\x07\x00 \u202eevil\u202c\u2066x\u2069\r\nb\rc".encode() + b"\xff"
    assert last_lines(log) == ["ared evilx", "b", "c\ufffd"]


def test_what_is_shown_as_html_is_escaped() -> None:
    refused = StartRefused("No <b>", b"<script>alert(1)</script>\n</pre><img src=x>")
    assert refused.jupyterhub_message == str(refused) == "No <b>"
    assert refused.jupyterhub_html_message.startswith("No &lt;b&gt;<div ")
    inside = refused.jupyterhub_html_message.split("<pre ")[1]
    assert "<script" not in inside and "<img" not in inside and inside.count("</pre>") == 1


def test_without_a_log_there_is_only_the_sentence_and_a_percent_sign_is_one() -> None:
    refused = StartRefused("100 % full %s")
    assert refused.jupyterhub_html_message == "100 % full %s" and refused.status_code == 503
