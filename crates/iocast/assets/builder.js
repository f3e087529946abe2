// The rule builder: edits the tree of an expression beside its text. The server turns the one into the other; this only
// shows and changes it, with plain form controls, so that every key works. Without it the text is edited.
const el = (name, props = {}, ...inside) => {
  const made = Object.assign(document.createElement(name), props);
  made.append(...inside);
  return made;
};
const option = (value, label, chosen) => el("option", { value, textContent: label, selected: value === chosen });

class RuleBuilder extends HTMLElement {
  connectedCallback() {
    this.offers = JSON.parse(this.dataset.offers);
    this.text = document.getElementById(this.dataset.for);
    this.csrf = this.dataset.csrf ?? this.closest("form")?.querySelector("[name=csrf]")?.value ?? "";
    this.text.addEventListener("change", () => this.fromText());
    this.fromText();
  }

  async ask(name, value) {
    const body = new URLSearchParams({ csrf: this.csrf, [name]: value });
    const answer = await fetch(this.dataset.at, { method: "POST", body });
    return answer.ok ? answer.json() : { error: "The server did not answer: the text is as it was." };
  }

  async fromText() {
    if (!this.text.value.trim()) this.tree = { join: "and", not: false, record: false, of: [this.blank()] };
    else {
      const said = await this.ask("when", this.text.value);
      if (said.error) return this.replaceChildren(el("p", { className: "dim", textContent: `As text only: ${said.error}` }));
      this.tree = said.tree;
    }
    this.draw();
  }

  // The last change wins, in whatever order answers come.
  async changed(redraw, focus) {
    if (redraw) this.draw(focus);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const said = await this.ask("tree", JSON.stringify(this.tree));
    if (turn !== this.turn) return;
    this.querySelectorAll("em").forEach((old) => old.remove());
    for (const { at, problem } of said.errors ?? []) {
      const place = this.querySelector(`[data-place="${CSS.escape(at)}"]`) ?? this;
      place.append(el("em", { textContent: problem }));
    }
    if (said.text === undefined) return;
    this.text.value = said.text;
    this.text.dispatchEvent(new Event("input", { bubbles: true }));
    this.text.dispatchEvent(new Event("built", { bubbles: true }));
  }

  blank() {
    return { field: "kind", op: "in", values: [], not: false };
  }

  draw(focus) {
    this.replaceChildren(this.group(this.tree, [], null));
    if (focus) this.querySelector(`[data-place="${CSS.escape(focus)}"] select`)?.focus();
  }

  tick(thing, key, label) {
    const box = el("input", { type: "checkbox", checked: !!thing[key] });
    box.addEventListener("change", () => { thing[key] = box.checked; this.changed(); });
    return el("label", { className: "check" }, box, el("span", { textContent: label }));
  }

  button(label, act, name) {
    const made = el("button", { type: "button", textContent: label });
    if (name) made.setAttribute("aria-label", name);
    made.addEventListener("click", act);
    return made;
  }

  group(group, place, above) {
    const at = place.join(".");
    const join = el("select", {}, option("and", "all of these hold", group.join), option("or", "any of these holds", group.join));
    join.setAttribute("aria-label", "How the conditions are joined");
    join.addEventListener("change", () => { group.join = join.value; this.changed(); });
    const head = el("div", { className: "actions" }, join, this.tick(group, "not", "not"), this.tick(group, "record", "of one record"));
    if (above) head.append(this.removal(above, place, "Remove the group"));
    const made = el("fieldset", { className: "rule-group" }, el("legend", { textContent: place.length ? `Group ${at}` : "Conditions" }), head);
    made.dataset.place = at;
    group.of.forEach((part, index) => {
      const inner = [...place, index];
      made.append(part.of ? this.group(part, inner, group) : this.clause(part, inner, group));
    });
    const add = (part) => { group.of.push(part); this.changed(true, [...place, group.of.length - 1].join(".")); };
    made.append(el("div", { className: "actions" },
      this.button("Add a condition", () => add(this.blank())),
      this.button("Add a group", () => add({ join: "or", not: false, record: false, of: [this.blank()] }))));
    return made;
  }

  removal(above, place, name) {
    return this.button("×", () => {
      above.of.splice(place.at(-1), 1);
      this.changed(true, place.slice(0, -1).join("."));
    }, name);
  }

  clause(clause, place, above) {
    const at = place.join(".");
    const offer = this.offers.find((one) => one.name === clause.field) ?? this.offers[0];
    const field = el("select", { title: offer.help }, ...this.offers.map((one) => option(one.name, one.label, clause.field)));
    field.setAttribute("aria-label", "What is compared");
    field.addEventListener("change", () => {
      const next = this.offers.find((one) => one.name === field.value);
      Object.assign(clause, { field: next.name, op: next.ops[0]?.[0] ?? "", values: next.input === "flag" ? ["true"] : [] });
      this.changed(true, at);
    });
    const made = el("div", { className: "rule-clause actions" }, this.tick(clause, "not", "not"), field);
    made.dataset.place = at;
    if (offer.ops.length) {
      const op = el("select", {}, ...offer.ops.map(([value, label]) => option(value, label, clause.op)));
      op.setAttribute("aria-label", "How it is compared");
      // A way that is not offered is kept as it is.
      if (!offer.ops.some(([value]) => value === clause.op)) op.append(option(clause.op, clause.op, clause.op));
      op.addEventListener("change", () => {
        clause.op = op.value;
        if (op.value === "is set") clause.values = [];
        else if (!op.value.endsWith("in")) clause.values = clause.values.slice(0, 1);
        this.changed(true, at);
      });
      made.append(op);
    }
    if (clause.op !== "is set" && offer.input !== "none") made.append(this.values(clause, offer, clause.op.endsWith("in")));
    made.append(this.removal(above, place, "Remove the condition"));
    return made;
  }

  values(clause, offer, many) {
    let box;
    if (offer.input === "choice" || offer.input === "flag") {
      box = el("select", { multiple: many, size: many ? Math.min(6, offer.choices.length) : 1 });
      if (!many && !clause.values.length) box.append(option("", "choose …", ""));
      for (const one of offer.choices) box.append(el("option", { value: one, textContent: one, selected: clause.values.includes(one) }));
      box.addEventListener("change", () => {
        clause.values = [...box.selectedOptions].map((one) => one.value).filter(Boolean);
        this.changed();
      });
    } else {
      // Several values stand on a line each: any of them may have a comma in it.
      box = many ? el("textarea", { rows: Math.max(2, clause.values.length + 1), value: clause.values.join("\n") })
        : el("input", { value: clause.values[0] ?? "", type: "text" });
      box.spellcheck = false;
      if (many) box.placeholder = "one a line";
      box.addEventListener("change", () => {
        clause.values = many ? box.value.split("\n").filter((one) => one !== "") : [box.value];
        this.changed();
      });
    }
    box.setAttribute("aria-label", `${offer.label}: ${many ? "values" : "value"}`);
    return box;
  }
}
customElements.define("rule-builder", RuleBuilder);
