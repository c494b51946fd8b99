// Shows the OpenAPI document. Everything is written as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function make(tag, content, attributes = {}) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const part of [content].flat()) if (part !== null && part !== undefined) element.append(part);
  return element;
}

const nameOf = (ref) => ref.split("/").pop();
const slug = (name) => `schema-${name}`;

function typeOf(schema) {
  if (schema.$ref) return make("a", nameOf(schema.$ref), { href: `#${slug(nameOf(schema.$ref))}` });
  const choices = schema.oneOf || schema.anyOf;
  if (choices) return make("span", choices.flatMap((choice, index) => (index ? [" | ", typeOf(choice)] : [typeOf(choice)])));
  if (schema.type === "array") return make("span", ["array of ", typeOf(schema.items || {})]);
  if (schema.enum) return make("span", schema.enum.map((value) => JSON.stringify(value)).join(" | "));
  return make("span", [schema.type || "any"].flat().join(" | ") + (schema.format ? ` (${schema.format})` : ""));
}

function bounds(schema) {
  const told = [];
  if (schema.minimum !== undefined || schema.maximum !== undefined) told.push(`${schema.minimum ?? "…"} to ${schema.maximum ?? "…"}`);
  if (schema.maxLength !== undefined) told.push(`at most ${schema.maxLength.toLocaleString("en")} characters`);
  if (schema.maxItems !== undefined) told.push(`at most ${schema.maxItems.toLocaleString("en")} items`);
  if (schema.default !== undefined && schema.default !== null && schema.default !== "") told.push(`default ${JSON.stringify(schema.default)}`);
  return told.join(", ");
}

function row(name, schema, required, description) {
  const told = [description || schema.description, bounds(schema)].filter(Boolean).join(" · ");
  return make("tr", [
    make("td", make("code", name, required ? { class: "required", title: "required" } : {})),
    make("td", typeOf(schema), { class: "type" }),
    make("td", told),
  ]);
}

function members(schema) {
  const required = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([name, inner]) => row(name, inner, required.has(name)));
  return rows.length ? make("table", make("tbody", rows)) : make("p", typeOf(schema));
}

function contentOf(content) {
  return Object.entries(content || {}).map(([kind, media]) => make("p", [make("code", kind), " ", typeOf(media.schema || {})]));
}

function example(method, path, operation) {
  const flags = method === "get" ? "" : ` -X ${method.toUpperCase()}`;
  const key = operation.security ? " \\\n  -H \"Authorization: Bearer $PARLEY_KEY\"" : "";
  const body = operation.requestBody ? " \\\n  -H \"Content-Type: application/json\" -d '{…}'" : "";
  return make("pre", make("code", `curl${flags} ${location.origin}${path}${key}${body}`));
}

function article(path, method, operation, shared) {
  const parts = [
    make("h3", [make("span", method.toUpperCase(), { class: "method" }), make("code", path)]),
    make("p", operation.summary),
    operation.description ? make("p", operation.description) : null,
    example(method, path, operation),
  ];
  const parameters = [...shared, ...(operation.parameters || [])];
  if (parameters.length) {
    const rows = parameters.map((one) => row(one.name, one.schema || {}, one.required, one.description));
    parts.push(make("h4", "Parameters"), make("table", make("tbody", rows)));
  }
  if (operation.requestBody) parts.push(make("h4", "Body"), ...contentOf(operation.requestBody.content));
  parts.push(make("h4", "Answers"), make("table", make("tbody", Object.entries(operation.responses).map(([status, told]) =>
    make("tr", [make("td", make("code", status)), make("td", told.description), make("td", contentOf(told.content))])))));
  const text = `${method} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase();
  return make("article", parts, { id: operation.operationId, "data-text": text });
}

function byTag(paths) {
  const groups = new Map();
  for (const [path, item] of Object.entries(paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = item[method].tags[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push([path, method, item[method], item.parameters || []]);
    }
  }
  return groups;
}

function show(spec) {
  document.title = `${spec.info.title} API ${spec.info.version}`;
  document.getElementById("title").textContent = document.title;
  document.getElementById("about").textContent = spec.info.description || "";
  const main = document.getElementById("operations");
  const contents = document.getElementById("contents");
  main.replaceChildren();
  for (const [tag, operations] of byTag(spec.paths)) {
    contents.append(make("strong", tag), make("ul", operations.map(([, , operation]) =>
      make("li", make("a", operation.summary.replace(/\.$/, ""), { href: `#${operation.operationId}` })))));
    main.append(make("section", [make("h2", tag), ...operations.map((one) => article(...one))]));
  }
  const schemas = Object.entries(spec.components.schemas).sort(([one], [other]) => one.localeCompare(other));
  contents.append(make("strong", make("a", "schemas", { href: "#schemas" })));
  main.append(make("section", [make("h2", "schemas"), ...schemas.map(([name, schema]) =>
    make("article", [make("h3", make("code", name)), schema.description ? make("p", schema.description) : null, members(schema)],
      { id: slug(name), "data-text": name.toLowerCase() }))], { id: "schemas" }));
}

function find(wanted) {
  for (const one of document.querySelectorAll("article")) one.hidden = !one.dataset.text.includes(wanted);
  for (const section of document.querySelectorAll("section")) section.hidden = !section.querySelector("article:not([hidden])");
}

async function start() {
  const main = document.getElementById("operations");
  try {
    const answer = await fetch("openapi.json");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (error) {
    main.textContent = `The document could not be loaded: ${error.message}`;
  }
  document.getElementById("find").addEventListener("input", (event) => find(event.target.value.trim().toLowerCase()));
}

start();
