"use strict";
// Elements are made here and nowhere else. A text becomes a text node and is never read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function make(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children); // strings are appended as text nodes
  return element;
}

// Someone else's text: its direction is its own and ends with it.
function isolated(text, attributes = {}) {
  return make("bdi", { dir: "auto", ...attributes }, text);
}

// Someone else's text, or what to show in its place if there is nothing to see in it.
function shown(text, instead) {
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(text ?? "") ? text : instead;
}

// Formats by their number of decimals: to make one takes far longer than to use it.
const formats = [];

// 3,299 and \u22120.21; what rounds to zero has no sign.
function fixed(number, decimals, sign = "negative") {
  const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals, signDisplay: sign };
  const cache = (formats[decimals] ??= {});
  return (cache[sign] ??= new Intl.NumberFormat("en-US", digits)).format(number).replace("-", "\u2212");
}

// +0.21
function signed(number, decimals) {
  return fixed(number, decimals, "exceptZero");
}

// Seconds as minutes:seconds, with hours if there are any: 3:25, 1:02:07, 0:49.7.
function clock(seconds, decimals = 0) {
  const rounded = Number(seconds.toFixed(decimals));
  const minutes = Math.floor(rounded / 60);
  const rest = (rounded - 60 * minutes).toFixed(decimals).padStart(decimals ? decimals + 3 : 2, "0");
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

function plural(count, noun) {
  return `${fixed(count, 0)} ${noun}${count === 1 ? "" : "s"}`;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not allowed for files by every browser
    const field = make("textarea", { class: "unseen" });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  const label = button.textContent;
  if (label === "Copied") return;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
}
