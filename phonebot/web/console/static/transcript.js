/*
What is said in a call, as it is said: the transcript, and how it is shown.

    const transcript = new Transcript();
    const view = new TranscriptView(panel, ROLE_WORDS);
    if (transcript.receive(event)) view.show(transcript);

`panel` holds elements that name themselves in `data-part`: `lines`, a list; `coming`, what the bot is about to have
said; `empty`, what stands there before anybody has said anything.
*/

export const ROLE_WORDS = { caller: "Caller", bot: "Bot", note: "Note", instruction: "Instruction" };

/* What was said in a call, made of the service's events (live_events.py). */
export class Transcript {
  lines = []; // {role: "caller" | "bot" | "instruction" | "note", text, cut, heard_ms, of_ms, rest}
  texts = new Map(); // by item

  /* True if it has changed. */
  receive(event) {
    switch (event.type) {
      case "snapshot":
        this.lines = [...event.lines];
        this.texts = new Map(Object.entries(event.texts));
        return true;
      case "text":
        this.texts.set(event.item_id, (this.texts.get(event.item_id) ?? "") + event.text);
        return true;
      case "line":
        this.texts.delete(event.line.item_id);
        this.lines.push(event.line);
        return true;
      case "cut":
        return event.heard_ms === 0 && this.texts.delete(event.item_id);
      case "trouble":
        this.lines.push({ role: "note", text: event.problem, at_ms: event.at_ms });
        return true;
      case "guardrail_tripped":
        this.lines.push({ role: "note", text: `The guardrail ${event.guardrail} has tripped.`, at_ms: event.at_ms });
        return true;
      case "limit":
        this.lines.push({ role: "note", text: event.text, at_ms: event.at_ms });
        return true;
      case "lost":
        this.lines.push({ role: "note", text: "This page was too slow: the transcript ends here.", at_ms: 0 });
        return true;
    }
    return false;
  }
}

export class TranscriptView {
  #list;
  #coming;
  #empty;
  #roles;
  #shown = []; // the lines that are on the page

  constructor(panel, roles) {
    [this.#list, this.#coming, this.#empty] = ["lines", "coming", "empty"].map((part) =>
      panel.querySelector(`[data-part="${part}"]`),
    );
    this.#roles = roles;
  }

  show({ lines, texts }) {
    let same = 0;
    while (same < this.#shown.length && isSame(this.#shown[same], lines[same])) same++;
    for (const item of [...this.#list.children].slice(same)) item.remove();
    this.#list.append(...lines.slice(same).map((line) => lineOf(line, this.#roles)));
    this.#shown = [...lines];
    const coming = [...texts.values()].filter(Boolean).join(" ");
    this.#coming.hidden = !coming;
    const said = [element("span", "line-who", this.#roles.bot), element("p", "line-text", coming)];
    this.#coming.replaceChildren(...(coming ? said : []));
    this.#empty.hidden = lines.length > 0 || Boolean(coming);
  }
}

function isSame(shown, line) {
  return line !== undefined && ["role", "item_id", "text", "at_ms"].every((key) => shown[key] === line[key]);
}

/* Who said a line, or typed it. */
export function whoOf({ role, typed_by: typedBy }, roles) {
  return typedBy ? `${roles[role]}, typed by ${typedBy}` : roles[role];
}

function lineOf(line, roles) {
  const { role, text, cut, heard_ms: heardMs, of_ms: ofMs, rest, item_id: itemId } = line;
  const item = element("li", `line line-${role === "instruction" ? "note" : role}${cut ? " line-cut" : ""}`);
  item.append(element("span", "line-who", whoOf(line, roles)));
  const said = element("p", "line-text", text || (cut ? "" : "…")); // a turn of the caller's that was not written down
  if (cut && rest?.trim()) said.append(" ", element("del", "line-rest", rest.trim()));
  item.append(said);
  if (cut) {
    const badge = element("span", "badge badge-warning line-heard", `heard ${seconds(heardMs)} of ${seconds(ofMs)}`);
    Object.assign(badge.dataset, { itemId, heardMs, ofMs });
    item.append(badge);
  }
  return item;
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

export function element(name, className, text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(text);
  return made;
}
