// Keeps the page fresh while somebody looks at it: asks for it again, and changes only what has changed, so that focus,
// scrolling and what is being typed stay. Without this script the page is whole too, and reloads itself.
"use strict";
(() => {
  const EVERY = 3000;
  const PATIENCE = 8000;
  const ELEMENT = Node.ELEMENT_NODE;
  const told = document.getElementById("lost");
  let seen = new Date();
  let timer = 0;
  let asking = false;

  const alike = (old, next) =>
    old.nodeType === next.nodeType && old.nodeName === next.nodeName && (old.id || "") === (next.id || "");

  function patch(old, next) {
    if (old.nodeType !== ELEMENT) {
      if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of next.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    patchChildren(old, next);
  }

  // Rows and cards have ids: they are kept, moved at most, and never taken for each other.
  function patchChildren(old, next) {
    const wanted = new Set([...next.children].map((child) => child.id).filter(Boolean));
    for (const child of [...old.children]) if (child.id && !wanted.has(child.id)) child.remove();
    let at = old.firstChild;
    for (const child of next.childNodes) {
      if (at && alike(at, child)) {
        patch(at, child);
        at = at.nextSibling;
        continue;
      }
      const known = child.id && [...old.children].find((one) => one.id === child.id);
      if (known) patch(known, child);
      old.insertBefore(known || document.importNode(child, true), at);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  function tell(words) {
    if (told.textContent !== words) told.textContent = words;
    document.body.classList.toggle("stale", words !== "");
  }

  async function refresh() {
    // Not `location.href`: with a name and password in it, it could not be fetched.
    const here = location.origin + location.pathname + location.search;
    const answer = await fetch(here, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const parts = ["top", "main"].map((id) => [document.getElementById(id), page.getElementById(id)]);
    if (parts.some(([, next]) => !next)) throw new Error(`the answer was ${answer.status}`);
    const focused = document.activeElement;
    for (const [old, next] of parts) patch(old, next);
    // What was moved has lost it.
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    if (document.title !== page.title) document.title = page.title;
    const foot = page.querySelector("footer");
    if (foot) patch(document.querySelector("footer"), foot);
    seen = new Date();
  }

  async function turn() {
    clearTimeout(timer);
    if (document.hidden || asking) return;
    asking = true;
    try {
      await refresh();
      tell("");
    } catch (error) {
      const since = seen.toISOString().slice(11, 19);
      tell(`Connection lost since ${since} UTC. What you see is from then; trying again every few seconds.`);
    } finally {
      asking = false;
      timer = setTimeout(turn, EVERY);
    }
  }

  document.addEventListener("visibilitychange", turn);
  timer = setTimeout(turn, EVERY);
})();
