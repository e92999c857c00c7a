/* Replaces whole texts of the page by those of the catalogue: see cellar_hub/pages. */
(function () {
  "use strict";
  const LANGUAGES = ["en", "ko"];
  const ATTRIBUTES = ["title", "aria-label", "alt", "placeholder"];
  const LEFT = "pre, code, script, style, textarea, .note-col, .notranslate, [translate=no], #react-admin-hook, #login_widget > span";

  let chosen = null; // by the console's switch, in this browser
  try {
    chosen = localStorage.getItem("cellar-language");
  } catch {
    // a browser that keeps nothing
  }
  const asked = [chosen || "", ...(navigator.languages || [navigator.language])];
  const wanted = asked.map((each) => each.slice(0, 2).toLowerCase());
  const language = wanted.find((each) => LANGUAGES.includes(each)) || "en";
  const column = LANGUAGES.indexOf(language);
  document.documentElement.lang = language;

  const whole = new Map();
  const patterns = [];
  for (const [key, values] of Object.entries(window.cellarTexts)) {
    const names = [...key.matchAll(/\{(\w+)\}/g)].map((found) => found[1]);
    if (names.length) {
      const source = key.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{\w+\}/g, "(.+)");
      patterns.push({ names, value: values[column], pattern: new RegExp(`^${source}$`, "s") });
    } else {
      whole.set(key, values[column]);
    }
  }

  function inLanguage(text) {
    const plain = text.replace(/\s+/g, " ").trim();
    if (!plain) return null;
    if (whole.has(plain)) return whole.get(plain);
    for (const each of patterns) {
      const found = each.pattern.exec(plain);
      if (found) return each.names.reduce((text, name, i) => text.replace(`{${name}}`, () => found[i + 1]), each.value);
    }
    return null;
  }

  function replaceText(node) {
    const parent = node.parentElement;
    if (parent && parent.closest(LEFT)) return;
    const found = inLanguage(node.data);
    if (found === null) return;
    const [, before, after] = /^(\s*)[^]*?(\s*)$/.exec(node.data);
    const value = before + found + after;
    if (value !== node.data) node.data = value;
  }

  function replaceAttributes(element) {
    if (element.closest(LEFT)) return;
    const names = element.matches("input[type=submit], input[type=button]") ? [...ATTRIBUTES, "value"] : ATTRIBUTES;
    for (const name of names) {
      const found = element.hasAttribute(name) ? inLanguage(element.getAttribute(name)) : null;
      if (found !== null && found !== element.getAttribute(name)) element.setAttribute(name, found);
    }
  }

  function replaceIn(root) {
    if (root.nodeType === Node.TEXT_NODE) return replaceText(root);
    if (root.nodeType !== Node.ELEMENT_NODE) return;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = root; node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) replaceText(node);
      else replaceAttributes(node);
    }
  }

  // from the first element on, so that nothing is painted in the wrong language
  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "characterData") replaceText(change.target);
      else if (change.type === "attributes") replaceAttributes(change.target);
      else change.addedNodes.forEach(replaceIn);
    }
  }).observe(document.documentElement, {
    attributeFilter: [...ATTRIBUTES, "value"],
    characterData: true,
    childList: true,
    subtree: true,
  });
  // a long text may reach the parser in two pieces
  document.addEventListener("DOMContentLoaded", () => replaceIn(document.documentElement));
})();
