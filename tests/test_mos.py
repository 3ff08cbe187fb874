import json
import shutil
import subprocess
from itertools import pairwise

import imageio_ffmpeg
import numpy as np
import pytest

from vast_jax import media
from vast_jax.mos import QUESTIONS, read_answers, read_key, report, score, write_study
from vast_jax.mos.__main__ import main, systems_of
from vast_jax.mos.answers import COLUMNS
from vast_jax.mos.scores import MEASURES, estimate
from vast_jax.mos.study import orders
from vast_jax.types import UserError

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SYSTEMS = ("quokka", "zebrafish")
SENTENCES = ("platypus", "wombat")
RATE = 16000


def shade(system: int, sentence: int) -> int:
    return 40 + 90 * system + 40 * sentence


def write_clip(path, grey, sound=True, seconds=0.4, metadata=None):
    frames = [np.full((48, 64, 3), grey, np.uint8)] * round(25 * seconds)
    speech = 0.2 * np.sin(np.arange(round(seconds * RATE)) / 5)
    media.write_video(path, frames, (64, 48), (speech, RATE) if sound else None, metadata)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two systems that say two sentences, and give themselves away wherever they can."""
    folder = tmp_path_factory.mktemp("videos")
    for i, system in enumerate(SYSTEMS):
        for j, sentence in enumerate(SENTENCES):
            path = folder / system / f"{sentence}.mp4"
            write_clip(path, shade(i, j), metadata={"comment": f"made by {system}", "title": sentence})
    write_clip(folder / "quokka" / "alone.mp4", 20)
    return {system: folder / system for system in SYSTEMS}


@pytest.fixture(scope="module")
def study(videos, tmp_path_factory):
    return write_study(videos, tmp_path_factory.mktemp("study") / "test", practice=videos["quokka"] / "alone.mp4")


def page_of(study) -> dict:
    text = (study.folder / "index.html").read_text()
    return json.loads(text.partition('type="application/json">')[2].partition("</script>")[0])


def test_nothing_that_raters_get_tells_whose_a_clip_is(study):
    files = [path for path in study.folder.rglob("*") if path.is_file()]
    assert len(files) == 1 + 1 + len(SYSTEMS) * len(SENTENCES)
    telling = [word.encode() for word in (*SYSTEMS, *SENTENCES, "alone", "made by")]
    for path in files:
        header = subprocess.run([FFMPEG, "-i", path], capture_output=True).stderr.partition(b"Input")[0]
        content = (path.relative_to(study.folder).as_posix().encode() + path.read_bytes() + header).lower()
        assert not [word for word in telling if word in content], path
    assert len({path.stat().st_mtime for path in files if path.suffix == ".mp4"}) == 1
    assert study.key.is_file() and study.folder not in study.key.parents
    assert b"quokka" in study.key.read_bytes()


def test_the_key_says_which_clip_is_which(study):
    for name, clip in read_key(study.key).clips.items():
        grey = next(media.read_frames(study.folder / "clips" / f"{name}.mp4")).mean()
        assert abs(grey - shade(SYSTEMS.index(clip.system), SENTENCES.index(clip.sentence))) < 3


def test_the_page_needs_no_network_and_has_the_scales(study):
    text = (study.folder / "index.html").read_text()
    assert "http:" not in text and "https:" not in text and "src=" not in text.replace("video.src =", "")
    page = page_of(study)
    assert [question["name"] for question in page["questions"]] == ["sync", "expressiveness", "naturalness"]
    assert page["questions"][0]["high"] == "nothing different from a real person"
    assert page["clips"] == sorted(page["clips"]) == sorted(read_key(study.key).clips)
    assert study.notes == ["quokka: 1 videos that not every system has are left out"]


@pytest.mark.parametrize(("systems", "sentences"), [(3, 4), (2, 5), (4, 2), (1, 3), (3, 1), (5, 12)])
def test_orders_are_balanced(systems, sentences):
    turns = orders(systems, sentences, 2 * systems, np.random.default_rng(1))
    assert turns.shape == (2 * systems, systems * sentences)
    spoken, told_by = turns % sentences, turns // sentences
    for row, said, told in zip(turns, spoken, told_by, strict=True):
        assert sorted(row) == list(range(systems * sentences))  # every system equally often
        assert sentences == 1 or all(first != second for first, second in pairwise(said))
        for start in range(0, len(row), sentences):  # rounds
            assert len(set(said[start : start + sentences])) == sentences
            counts = np.bincount(told[start : start + sentences], minlength=systems)
            assert counts.max() - counts.min() <= 1
    for group in (turns[:systems], turns[systems:]):  # a sentence is met first from each system once
        for sentence in range(sentences):
            assert len({row[np.argmax(row % sentences == sentence)] // sentences for row in group}) == systems
    if sentences > 3:
        assert len({tuple(row) for row in turns}) == 2 * systems


def test_the_seed_decides_everything(videos, study, tmp_path):
    again = write_study(videos, tmp_path / "again", practice=videos["quokka"] / "alone.mp4")
    assert again.key.read_bytes() == study.key.read_bytes()
    for path in study.folder.rglob("*.*"):
        assert (again.folder / path.relative_to(study.folder)).read_bytes() == path.read_bytes()
    other = write_study(videos, tmp_path / "other", clips=1, seed=5, raters=4)
    key, turns = read_key(other.key), page_of(other)["orders"]
    assert not set(key.clips) & set(read_key(study.key).clips) and key.study != read_key(study.key).study
    assert len({clip.sentence for clip in key.clips.values()}) == 1 and len(turns) == 4


def test_bad_videos_are_refused_and_nothing_is_written(videos, tmp_path):
    silent, empty, other, twice = (tmp_path / name for name in ("silent", "empty", "other", "twice"))
    empty.mkdir()
    write_clip(silent / "wombat.mp4", 9, sound=False)
    write_clip(other / "dingo.mp4", 9)
    twice.mkdir()
    (twice / "a.mp4").touch()
    (twice / "a.mkv").touch()
    quokka, out = videos["quokka"], tmp_path / "out"
    for systems, changes, words in (
        ({}, {}, "no videos"),
        ({"a": tmp_path / "absent"}, {}, "no such folder"),
        ({"a": empty}, {}, "no video in it"),
        ({"a": twice}, {}, "same name"),
        ({"a": quokka, "b": silent}, {}, "no sound"),
        ({"a": quokka, "b": other}, {}, "in all of a, b"),
        ({"a": quokka}, {"clips": 9}, "only 3 sentences"),
        ({"a": quokka}, {"clips": 0}, "1 or more"),
        ({"a": quokka}, {"raters": 0}, "1 or more"),
        ({"a": quokka}, {"practice": tmp_path / "absent.mp4"}, "does not exist"),
        ({"a": quokka}, {"practice": silent / "wombat.mp4"}, "no sound"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            write_study(systems, out, **changes)
        assert "\n" not in str(caught.value) and not out.exists()
    with pytest.raises(UserError, match="exists already"):
        write_study({"a": quokka}, other)
    for words in (["a"], ["a="], ["=b"], ["a=b", "a=c"]):
        with pytest.raises(UserError, match="--videos"):
            systems_of(words)
    assert systems_of(["a=b=c", "d=e"]).keys() == {"a", "d"}


def test_unlike_videos_are_told(tmp_path):
    write_clip(tmp_path / "a" / "x.mp4", 9)
    media.write_video(
        tmp_path / "b" / "x.mp4", [np.zeros((32, 32, 3), np.uint8)] * 40, (32, 32), (np.zeros(100), 16000)
    )
    notes = write_study({"a": tmp_path / "a", "b": tmp_path / "b"}, tmp_path / "out").notes
    assert [note.split(" differs")[0] for note in notes] == ["size in pixels", "length"]


def test_an_interval_computed_by_hand():
    """Three raters by three sentences; t of 2 degrees of freedom is 4.302653."""
    raters, sentences = np.repeat(range(3), 3), np.tile(range(3), 3)
    for values, squares in (
        # errors add up to -3, 0, 3 by rater and by sentence: 18 * 3/2 + 18 * 3/2 - (4 + 1 + 1 + 1 + 1 + 4)
        ((1, 2, 3, 2, 3, 4, 3, 4, 5), 42),
        # to -3, 0, 3 and -2, 1, 1: 18 * 3/2 + 6 * 3/2 - (4 + 1 + 4 + 1) is less than the raters' part alone, 27
        ((1, 2, 3, 3, 3, 3, 3, 5, 4), 27),
    ):
        values = np.array(values, float)
        found = estimate(values, raters, sentences)
        half = 4.302653 * squares**0.5 / 9
        assert found[3:] == (9, 3, 3)
        np.testing.assert_allclose(found[:3], [3, 3 - half, 3 + half], atol=1e-5)
        assert estimate(values, raters, sentences, 1, 5).high == 5
    assert np.isnan(estimate(values[:3], raters[:3], sentences[:3]).low)  # one rater says nothing of others


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, count, held = np.random.default_rng(0), 600, 0
    raters, sentences = np.repeat(range(8), 10), np.tile(range(10), 8)
    for _ in range(count):
        effects = 0.5 * rng.normal(size=8)[raters] + 0.4 * rng.normal(size=10)[sentences]
        values = 3 + effects + 0.7 * rng.normal(size=80)
        answered = rng.random(80) < 0.9
        found = estimate(values[answered], raters[answered], sentences[answered])
        held += found.low <= 3 <= found.high
    assert 0.92 < held / count < 0.995


def table_of(test, rater, scores, **changes) -> str:
    """A rater's CSV; scores[system][sentence] for every question, or None for a clip that was not seen."""
    key = read_key(test.key)
    lines, seen = [",".join(COLUMNS)], 0
    for name, clip in key.clips.items():
        value = scores[SYSTEMS.index(clip.system)][SENTENCES.index(clip.sentence)]
        if value is not None:
            seen += 1
            cells = dict(study=key.study, rater=rater, order=seen, clip=name, seconds=12.5, replays=1)
            cells |= {question.name: value for question in QUESTIONS} | changes
            lines.append(",".join(str(cells[column]) for column in COLUMNS))
    return "\n".join(lines) + "\n"


def test_scores_and_paired_differences(study, tmp_path):
    tables = [((5, 4), (3, 3)), ((4, 4), (2, 1)), ((3, None), (4, 2))]
    paths = [tmp_path / f"answers_{i}.csv" for i in range(3)]
    for i, (path, scores) in enumerate(zip(paths, tables, strict=True), 1):
        path.write_text(table_of(study, i, scores))
    paths[1].write_text("\ufeff" + paths[1].read_text().replace(",", ";").replace("12.5", "12,5"))  # by a spreadsheet
    again = tmp_path / "answers_1 (1).csv"
    again.write_text(paths[0].read_text())
    key = read_key(study.key)
    result = score(key, *read_answers([*paths, again], key))
    assert result.notes == [
        "answers_1 (1).csv: the same answers as answers_0.csv, counted once",
        "rater 3: answered 3 of 4 clips",
    ]
    first, second = (result.systems[name] for name in SYSTEMS)
    assert first["sync"].mean == 20 / 5 and first["sync"].answers == 5 and first["sync"].raters == 3
    assert second["naturalness"].mean == 15 / 6 and second["mean"].mean == 15 / 6
    paired = result.differences["quokka", "zebrafish"]["sync"]  # 2, 1, 2, 3, -1
    assert paired.mean == 7 / 5 and paired.answers == 5 and paired.low < 1.4 < paired.high
    assert result.seconds == 12.5 and result.replays == 1
    text = report(result, tmp_path / "report")
    assert "| quokka | 4.00 [" in text and "| quokka - zebrafish | +1.40 [" in text and "answered 3 of 4" in text
    assert "5 (3 raters, 2 sentences)" in text
    numbers = json.loads((tmp_path / "report" / "report.json").read_text())
    assert numbers["systems"]["quokka"]["sync"]["mean"] == 4 and set(numbers["systems"]["quokka"]) == set(MEASURES)
    assert (tmp_path / "report" / "report.md").read_text() == text + "\n"


def test_a_rater_who_says_the_same_of_everything_is_named(study, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(table_of(study, 7, ((3, 3), (3, 3))))
    assert read_answers([path], read_key(study.key))[1] == ["rater 7: gave 3 to everything; counted all the same"]


GOOD = ((5, 4), (3, 3))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: "", "no column study"),
        (lambda text: text.splitlines()[0], "no answers"),
        (lambda text: text[: len(text) - 12], "cut short|replays"),
        (lambda text: text.replace("sync", "sink"), "no column sync"),
        (lambda text: text.replace("replays", "sync"), "two columns sync"),
        (lambda text: text.replace(",5,5,5,", ",5,6,5,"), "expressiveness '6' is not a whole number from 1 to 5"),
        (lambda text: text.replace(",5,5,5,", ",5,٣,5,"), "expressiveness"),
        (lambda text: text.replace(",5,5,5,", ",5,,5,"), "expressiveness ''"),
        (lambda text: text.replace(",5,5,5,", ",5,4.5,5,"), "expressiveness '4.5'"),
        (lambda text: text.replace("12.5", "nan"), "seconds 'nan'"),
        (lambda text: text.replace("12.5", "-3"), "seconds '-3'"),
        (lambda text: text.replace(",1,1,", ",=cmd(),1,"), "rater '=cmd\\(\\)'"),
        (lambda text: text.replace(",1,2,", ",8,2,"), "more than one rater"),
        (lambda text: text.replace(",1,2,", ",1,1,"), "order 1 is there twice"),
        (lambda text: text + text.splitlines()[-1].replace(",1,4,", ",1,3,") + "\n", "clip .* is there twice"),
        (lambda text: text.replace("\n", "\x1b[31m\n"), "column replays"),
        (lambda text: text.replace("\n", '"\n', 1) + '"' + "x" * 200_000, "column|CSV"),
        (lambda text: "x" * 3_000_000, "too large"),
        (lambda text: text.encode("utf-16"), "not the CSV"),
        (lambda text: bytes(range(256)), "not the CSV"),
    ],
)
def test_damaged_answers_are_refused_in_one_line(study, tmp_path, spoil, words):
    path = tmp_path / "answers_1.csv"
    spoilt = spoil(table_of(study, 1, GOOD))
    path.write_bytes(spoilt if isinstance(spoilt, bytes) else spoilt.encode())
    with pytest.raises(UserError, match=words) as caught:
        read_answers([path], read_key(study.key))
    message = str(caught.value)
    assert "answers_1.csv" in message and message.isprintable() and len(message) < 400


def test_answers_of_elsewhere_are_refused(study, tmp_path):
    key, first, second = read_key(study.key), tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_text(table_of(study, 1, GOOD))
    for changes, words in (({"study": "\x1b[2Jff"}, "another test"), ({"clip": "../../key"}, "not in the key")):
        second.write_text(table_of(study, 1, GOOD, **changes))
        with pytest.raises(UserError, match=words) as caught:
            read_answers([second], key)
        assert str(caught.value).isprintable()
    second.write_text(table_of(study, 1, ((1, 1), (2, 2))))
    with pytest.raises(UserError, match="other answers of rater 1"):
        read_answers([first, second], key)
    with pytest.raises(UserError, match="no such file"):
        read_answers([tmp_path / "absent.csv"], key)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"study": 1, "clips": {}}', '{"study": "a", "clips": {"b": 3}}', "[" * 9999]
)
def test_a_damaged_key_is_refused(tmp_path, text):
    path = tmp_path / "key.json"
    path.write_text(text)
    with pytest.raises(UserError, match="not the key"):
        read_key(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not the key"):
        read_key(path)


def test_the_commands(videos, tmp_path, capsys):
    out = tmp_path / "test"
    words = [f"{name}={folder}" for name, folder in videos.items()]
    main(["make", "--videos", *words, "--out", str(out), "--clips", "1", "--seed", "3", "--raters", "5"])
    assert "keep from them" in capsys.readouterr().out
    key = read_key(out / "key.json")
    rows = [f"{key.study},1,{i},{name},{i},{i},{i},9,0" for i, name in enumerate(key.clips, 1)]
    (out / "answers_1.csv").write_text("\n".join([",".join(COLUMNS), *rows]))
    main(["score", str(out / "answers_1.csv"), "--out", str(tmp_path / "report")])
    assert "| quokka |" in capsys.readouterr().out and (tmp_path / "report" / "report.md").is_file()
    (out / "answers_2.csv").write_text("nothing")
    for arguments in (["score", str(out / "answers_2.csv")], ["score"], ["score", "absent.csv"], ["make"], []):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        error = capsys.readouterr().err
        assert stop.value.code == 2 and error.count("\n") == 1 and error.startswith("error: ")


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            # the sandbox of Chromium refuses to run as root, as in containers
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--mute-audio"])
        except sync_api.Error as error:
            pytest.skip(f"no browser: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


def make_playable(page, folder):
    """A bare Chromium knows no H.264; WebM under the same names will do, as browsers look at the content."""
    if page.evaluate("""document.createElement("video").canPlayType('video/mp4; codecs="avc1.42E01E,mp4a.40.2"')"""):
        return
    for path in (folder / "clips").glob("*.mp4"):
        new = path.with_suffix(".webm")
        subprocess.run([FFMPEG, "-v", "error", "-i", path, "-c:v", "libvpx", "-c:a", "libopus", new], check=True)
        new.replace(path)


def test_a_rater_in_a_browser(study, browser, tmp_path):
    folder = shutil.copytree(study.folder, tmp_path / "for raters, ünzipped")
    context = browser.new_context(accept_downloads=True, viewport={"width": 1366, "height": 768})
    page = context.new_page()
    page.set_default_timeout(10000)
    faults, urls = [], []
    page.on("pageerror", lambda fault: faults.append(fault))
    page.on("request", lambda request: urls.append(request.url))
    make_playable(page, folder)
    page.goto((folder / "index.html").as_uri())
    page.fill("#rater", "61")
    page.click("#start button")
    assert page.is_hidden("#trial")  # no such number
    page.fill("#rater", "2")
    page.keyboard.press("Enter")
    assert "Practice" in page.inner_text("#where")
    given = []

    def judge(scores):
        """By keyboard only."""
        page.keyboard.press("p")
        for value in scores:
            page.keyboard.press(str(value))
        page.wait_for_selector("#next:enabled")
        page.keyboard.press("Enter")

    judge([1, 1, 1])
    assert page.inner_text("#where") == "Clip 1 of 4"
    assert page.is_disabled("#next")
    for name, value in zip(("sync", "expressiveness", "naturalness"), (5, 3, 2), strict=True):  # by mouse
        page.check(f"input[name={name}][value='{value}']")
    assert page.is_disabled("#next")  # answered but not played
    page.evaluate("video.play().then(() => { video.currentTime = video.duration - 0.05; })")
    page.wait_for_function("video.ended")
    page.wait_for_timeout(50)
    assert page.is_disabled("#next")  # nobody skips to the end
    for _ in range(2):
        page.click("#play")
        page.wait_for_selector("#next:enabled")
        page.wait_for_function("video.ended")
    assert page.evaluate("!video.muted && video.volume === 1 && video.webkitAudioDecodedByteCount > 0")
    page.click("#next")
    given.append((5, 3, 2))
    page.keyboard.press("p")
    page.wait_for_function("state.now.ended")
    page.keyboard.press("4")
    assert page.is_disabled("#next")  # played but not answered
    page.reload()
    assert page.inner_text("#where") == "Clip 2 of 4" and page.is_checked("input[name=sync][value='4']")
    page.keyboard.press("1")  # the first open question
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    given.append((4, 1, 2))
    for scores in ((3, 4, 5), (1, 2, 1)):
        judge(scores)
        given.append(scores)
    assert page.is_visible("#end")
    with page.expect_download() as download:
        page.click("#save")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert page.input_value("#text") == path.read_text()
    context.close()

    key = read_key(study.key)
    answers, notes = read_answers([path], key)
    shown = page_of(study)
    assert not notes and not faults and all(url.startswith(("file:", "data:", "blob:")) for url in urls)
    assert path.name == f"answers_{key.study}_2.csv"
    assert [answer.scores for answer in answers] == given
    assert [answer.clip for answer in answers] == [shown["clips"][i] for i in shown["orders"][1]]
    assert [answer.order for answer in answers] == [1, 2, 3, 4] and {answer.rater for answer in answers} == {2}
    assert [answer.replays for answer in answers] == [1, 0, 0, 0]
    assert all(0.3 < answer.seconds < 20 for answer in answers)
