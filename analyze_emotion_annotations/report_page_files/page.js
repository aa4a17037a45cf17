// Builds the page from its data, once it has loaded.

function keepContents(contents) {
  const wide = matchMedia("(min-width: 64rem)");
  const follow = () => { contents.open = wide.matches; };
  wide.addEventListener("change", follow);
  follow();
  contents.addEventListener("click", (event) => {
    if (event.target.closest("a") && !wide.matches) contents.open = false;
  });
}

// The section at the top of the window is marked in the table of contents.
function markCurrentSection(contents) {
  const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  const inView = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) inView[isIntersecting ? "add" : "delete"](target.id);
    const current = [...links.keys()].find((name) => inView.has(name));
    if (current === undefined) return;
    for (const [name, link] of links) link.toggleAttribute("aria-current", name === current);
  }, { rootMargin: "-10% 0px -60% 0px" });
  for (const section of document.querySelectorAll("main > section")) observer.observe(section);
}

// A click on a plot that was shrunk to fit shows it in its full size, in a box that scrolls; another click undoes that.
function letEnlarge(button) {
  button.addEventListener("click", () => {
    const plot = button.querySelector("img");
    const large = !button.classList.contains("large") && plot.naturalWidth > plot.clientWidth;
    button.classList.toggle("large", large);
    button.setAttribute("aria-pressed", String(large));
  });
}

function start() {
  const { tables, songs } = JSON.parse(document.getElementById("data").textContent);
  const panel = new SongPanel(document.getElementById("song"), songs);
  for (const box of document.querySelectorAll("div.table")) {
    new TableView(box, tables[box.dataset.table], songs, (md5, line) => panel.open(md5, line));
  }
  document.querySelectorAll("button.plot").forEach(letEnlarge);
  const contents = document.getElementById("contents");
  keepContents(contents);
  markCurrentSection(contents);
  const button = document.getElementById("copy-provenance");
  button.addEventListener("click", () => copy(document.querySelector("#provenance pre").textContent, button));
}

start();
