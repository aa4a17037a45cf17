"use strict";
// All elements are made by these functions. A text becomes a text node and is never parsed as HTML.

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

// Someone else's text, isolated so that its writing direction doesn't affect the text around it.
function isolated(text, attributes = {}) {
  return make("bdi", { dir: "auto", ...attributes }, text);
}

// Someone else's text, or `instead` if the text has no visible character.
function shown(text, instead) {
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(text ?? "") ? text : instead;
}

// Number formats by decimals and sign, kept because making one takes far longer than using it.
const formats = [];

// As 3,299 or −0.21; a number that rounds to zero has no sign.
function fixed(number, decimals, sign = "negative") {
  const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals, signDisplay: sign };
  const cache = (formats[decimals] ??= {});
  return (cache[sign] ??= new Intl.NumberFormat("en-US", digits)).format(number).replace("-", "\u2212");
}

// As +0.21.
function signed(number, decimals) {
  return fixed(number, decimals, "exceptZero");
}

// Seconds as minutes:seconds or, from an hour on, hours:minutes:seconds: 3:25, 1:02:07, 0:49.7.
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
  } catch { // some browsers don't allow it for a page opened from a file
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
