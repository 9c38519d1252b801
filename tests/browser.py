"""Pages looked at in a browser without a window: what is there, what is said, what happens."""

import html
import json
import re
import shutil
import subprocess

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

ERRORS = """<script>
window.problems = [];
const noted = (e) => window.problems.push(String(e.message || e.target.src || e));
window.addEventListener("error", noted, true);
console.error = console.warn = (...words) => window.problems.push(words.join(" "));
</script>"""


def look(page, script, folder, milliseconds=8000):
    """Open a page, run a script's body there, and return what it returns, with `problems`.

    Nothing can be fetched: addresses that are no file's or data's lead nowhere.
    """
    text = page.read_text(encoding="utf-8")
    ask = f"""<script>
    window.addEventListener("load", async () => {{
      const wait = (ms) => new Promise((done) => setTimeout(done, ms));
      const answer = await (async () => {{ {script} }})();
      const note = document.createElement("pre");
      note.id = "answer";
      note.textContent = JSON.stringify({{ ...answer, problems: window.problems }});
      document.body.append(note);
    }});
    </script>"""
    copy = folder / f"looked_{page.name}"
    copy.write_text(
        text.replace("<head>", f"<head>{ERRORS}", 1).replace("</body>", f"{ask}</body>"),
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--user-data-dir={folder / 'browser'}", "--window-size=1280,900"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"),
            *(f"--virtual-time-budget={milliseconds}", copy.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
    answer = json.loads(html.unescape(found[1]))
    answer["problems"] += re.findall(r"CONSOLE.*", done.stderr)
    return answer
