// Renders the OpenAPI document as one page. Everything is put in as text, nothing as HTML.
"use strict";

function element(tag, content, attributes = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  for (const part of [content].flat()) if (part !== null && part !== undefined) made.append(part);
  return made;
}

// A schema in a few words, with a link to the one that it names.
function kind(schema) {
  if (!schema) return [""];
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return [element("a", name, { href: "#schema-" + name })];
  }
  for (const [word, joint] of [["oneOf", " or "], ["anyOf", " or "], ["allOf", " with "]]) {
    if (schema[word]) return schema[word].flatMap((item, index) => [index ? joint : "", ...kind(item)]);
  }
  const words = [schema.type || "anything"].flat().join(" or ");
  if (schema.items) return [words + " of ", ...kind(schema.items)];
  const bounds = [];
  if (schema.format) bounds.push(schema.format);
  if (schema.minimum !== undefined) bounds.push("from " + schema.minimum);
  if (schema.maximum !== undefined) bounds.push("to " + schema.maximum);
  if (schema.maxLength !== undefined) bounds.push("up to " + schema.maxLength + " characters");
  if (schema.enum) bounds.push(schema.enum.join(", "));
  return [words + (bounds.length ? " (" + bounds.join(", ") + ")" : "")];
}

function table(head, rows) {
  const line = (tag, cells) => element("tr", cells.map((cell) => element(tag, cell)));
  return element("table", [line("th", head), ...rows.map((row) => line("td", row))]);
}

function code(text) {
  return element("code", text);
}

function operation(path, method, about, item) {
  const id = method + path;
  const title = element("h2", [element("span", method, { class: "method" }), " ", code(path)]);
  const parts = [title, element("p", about.summary || about.description || "")];
  const parameters = [...(item.parameters || []), ...(about.parameters || [])];
  if (parameters.length) {
    const rows = parameters.map((p) => [code(p.name), p.in, kind(p.schema), p.description || ""]);
    parts.push(element("h3", "Parameters"), table(["name", "in", "type", "meaning"], rows));
  }
  if (about.requestBody) {
    const rows = Object.entries(about.requestBody.content).map(([type, media]) => [code(type), kind(media.schema)]);
    parts.push(element("h3", "Body"), table(["media type", "type"], rows));
    for (const media of Object.values(about.requestBody.content)) {
      if (media.example) parts.push(element("pre", JSON.stringify(media.example, null, 2)));
    }
  }
  const rows = Object.entries(about.responses).map(([status, response]) => {
    const bodies = Object.entries(response.content || {});
    const types = bodies.flatMap(([type, media]) => [element("div", [code(type), " ", ...kind(media.schema)])]);
    return [code(status), response.description, types];
  });
  parts.push(element("h3", "Answers"), table(["status", "meaning", "body"], rows));
  return element("section", parts, { id });
}

function schema(name, about) {
  const parts = [element("h2", name), element("p", about.description || "")];
  if (about.enum) parts.push(element("p", about.enum.join(", ")));
  const required = new Set(about.required || []);
  const rows = Object.entries(about.properties || {}).map(([field, inner]) => [
    code(field), kind(inner), required.has(field) ? "always" : "", inner.description || "",
  ]);
  parts.push(rows.length ? table(["field", "type", "", "meaning"], rows) : element("p", kind(about)));
  return element("section", parts, { id: "schema-" + name });
}

async function main() {
  const answer = await fetch("/openapi.json");
  const api = await answer.json();
  const links = [];
  const reference = document.getElementById("reference");
  reference.replaceChildren(element("p", api.info.description || ""));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of ["get", "post", "put", "patch", "delete"]) {
      if (!item[method]) continue;
      reference.append(operation(path, method, item[method], item));
      links.push(element("li", element("a", method.toUpperCase() + " " + path, { href: "#" + method + path })));
    }
  }
  for (const [name, about] of Object.entries(api.components.schemas)) reference.append(schema(name, about));
  document.getElementById("routes").replaceChildren(element("ul", links));
}

main().catch((error) => document.getElementById("reference").replaceChildren(element("p", "It cannot be shown: " + error)));
