/* What the page holds: a table of all problems, and chunks of search trees that are inflated when one is opened.
   Text from a run reaches the page as textContent only. */
"use strict";

const byId = (name) => document.getElementById(name);

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

async function inflate(name) {
  const packed = atob(byId(name).textContent);
  const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const meta = JSON.parse(byId("meta").textContent);
const chunks = new Map();

async function treeOf(chunk, place) {
  if (!chunks.has(chunk)) {
    if (chunks.size > 8) chunks.delete(chunks.keys().next().value);
    chunks.set(chunk, inflate("chunk-" + chunk));
  }
  return (await chunks.get(chunk))[place];
}

function count(number) {
  if (number === null || number === undefined) return "unknown";
  for (const [size, suffix] of [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (number >= size) return (number / (suffix === "k" ? 1e3 : size)).toPrecision(3) + suffix;
  }
  return number.toLocaleString("en");
}

function probability(value) {
  if (value === null || value === undefined) return "";
  if (value > 0 && value < 0.005) return "<0.01";
  if (value < 1 && value > 0.995) return ">0.99";
  return value.toFixed(2);
}

function quantiles(p) {
  if (p === null || p === undefined) return "";
  if (typeof p === "number") return probability(p);
  return probability(p[1]) + " (" + probability(p[0]) + " to " + probability(p[2]) + ")";
}

function verdict(correct, status) {
  if (status === "open") return "open";
  if (status === "failed") return "failed";
  return correct === null ? "not graded" : correct ? "right" : "wrong";
}
