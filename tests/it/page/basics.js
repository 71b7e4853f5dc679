// What a person who cannot see the page needs it to have: returns what is missing.
(() => {
  const faults = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const fault = (words, elements) => elements.forEach((element) => faults.push(`${words}: ${element.outerHTML.slice(0, 160)}`));
  const named = (element) => (element.textContent + (element.getAttribute("aria-label") || "")).trim() !== "";
  if (document.documentElement.lang !== "en") faults.push("no language");
  if (all("h1").length !== 1) faults.push(`${all("h1").length} first headings`);
  if (all("main").length !== 1) faults.push("no main");
  if (!document.title) faults.push("no title");
  fault("a header cell without a scope", all("th:not([scope])"));
  fault("a table without header cells", all("table").filter((table) => !table.querySelector("thead th")));
  fault("a link or button without a name", all("a, button").filter((element) => !named(element)));
  fault("a picture without words", all("img:not([alt]), svg:not([aria-label]):not([aria-hidden])"));
  fault("a choice without a label", all("select, input").filter((element) => !element.labels.length));
  fault("a reference to nothing", all("[aria-labelledby]").filter((e) => !document.getElementById(e.getAttribute("aria-labelledby"))));
  fault("an anchor to nothing", all("a[href^='#']").filter((e) => !document.getElementById(e.hash.slice(1))));
  fault("a colour without a word", all(".badge").filter((badge) => !/[a-z]{2}/.test(badge.textContent)));
  fault("an inline handler or style", all("*").filter((e) => e.getAttributeNames().some((name) => name === "style" || name.startsWith("on"))));
  const ids = all("[id]").map((element) => element.id);
  ids.filter((id, index) => ids.indexOf(id) !== index).forEach((id) => faults.push(`two of ${id}`));
  let before = 1;
  for (const heading of all("h1, h2, h3, h4")) {
    const level = Number(heading.localName[1]);
    if (level > before + 1) faults.push(`a jump to ${heading.outerHTML}`);
    before = level;
  }
  const first = all("a, button, select, [tabindex='0']")[0];
  if (!first || first.hash !== "#main") faults.push("the first stop is not the skip link");
  return faults;
})()
