"use strict";

// Tables: a heading's button sorts by its column, first with the better end on top, then the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    button.addEventListener("click", () => {
      const opposite = { ascending: "descending", descending: "ascending" };
      const order = opposite[head.ariaSort] ?? button.dataset.first;
      heads.forEach((other) => other.setAttribute("aria-sort", other === head ? order : "none"));
      const sign = order === "ascending" ? 1 : -1;
      const compare = (one, other) => {
        const [a, b] = [one, other].map((row) => row.cells[column]);
        if (column === 0) return sign * a.textContent.localeCompare(b.textContent, "en");
        const known = ("value" in b.dataset) - ("value" in a.dataset); // what was not measured stays last
        return known || sign * (a.dataset.value - b.dataset.value) || 0;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}

// Charts: their specification stands beside them. The interpreter needs no eval, which the page forbids.
for (const plot of document.querySelectorAll(".plot")) {
  const { xTitle, yTitle } = plot.dataset;
  const line = (title, text, escape) =>
    `<tr><td class="key">${escape(title)}</td><td class="value">${escape(text)}</td></tr>`;
  const describe = (row, escape) =>
    `<h2>${escape(row.series)}</h2><table>` +
    `${line(xTitle, row.x_text, escape)}${line(yTitle, row.y_text, escape)}</table>`;
  const specification = JSON.parse(plot.nextElementSibling.textContent);
  vegaEmbed(plot, specification, {
    mode: "vega-lite",
    renderer: "svg",
    actions: false,
    ast: true,
    tooltip: { theme: "page", formatTooltip: describe },
  }).catch((error) => {
    plot.textContent = "The chart cannot be drawn here; its figures are in the table below.";
    console.error(error);
  });
}

// A permalink to what is folded unfolds it.
const unfold = () => {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (target && target.matches(".fact, .gallery:has(details)")) target.querySelector("details").open = true;
};
addEventListener("hashchange", unfold);
unfold();

// On paper nothing can be unfolded.
const folded = [];
addEventListener("beforeprint", () => {
  folded.push(...document.querySelectorAll("details:not([open])"));
  folded.forEach((one) => (one.open = true));
});
addEventListener("afterprint", () => folded.splice(0).forEach((one) => (one.open = false)));

// The contents list marks the section that is being read.
const links = new Map(
  [...document.querySelectorAll("nav a")].map((link) => [document.getElementById(link.hash.slice(1)), link]),
);
const seen = new Set();
const watcher = new IntersectionObserver(
  (entries) => {
    entries.forEach((entry) => seen[entry.isIntersecting ? "add" : "delete"](entry.target));
    const last = [...links.keys()].filter((section) => seen.has(section)).pop();
    links.forEach((link, section) =>
      section === last ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current"),
    );
  },
  { rootMargin: "0px 0px -70% 0px" },
);
links.forEach((_, section) => watcher.observe(section));
