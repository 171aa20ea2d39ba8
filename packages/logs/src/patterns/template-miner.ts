/** Placeholder for a variable word, as in LogQL's pattern filters. */
const VARIABLE = '<_>';
/** Words are separated by brackets, quotes, commas, `=` and white space. */
const WORD = /[^\s"'`(),;=[\]{}|]+/g;
/** Words with a digit are values. Words with `<` would be parsed as names in a pattern filter. */
const VALUE = /[\d<]/;
/** If a shape has more templates than this, its texts differ in variable words. */
const MAX_VARIANTS = 15;
/** Minimum share of equal words, among those not yet variable, for two texts to share a template. */
const MIN_SIMILARITY = 0.5;
const MAX_TEMPLATES = 1_000;
const MAX_KNOWN_TEXTS = 5_000;
const MAX_CHARACTERS = 1_000;

/** The words that texts have in common, in order, with `<_>` where they differ. */
export class Template {
  /** The template into which this one was merged. */
  into: Template | null = null;

  /** @param shape the text with `w` for each word */
  constructor(
    private readonly shape: string,
    readonly words: string[],
  ) {}

  get text(): string {
    let next = 0;
    return this.shape.replaceAll('w', () => this.words[next++]!);
  }

  /** Returns the share of equal words among those that are variable in neither text. */
  similarityTo(words: readonly string[]): number {
    let numEqual = 0;
    let numFixed = 0;
    for (const [i, word] of this.words.entries()) {
      if (word === VARIABLE && words[i] === VARIABLE) continue;
      numFixed++;
      if (word === words[i]) numEqual++;
    }
    return numFixed === 0 ? 1 : numEqual / numFixed;
  }

  generalizeTo(words: readonly string[]): void {
    for (const [i, word] of words.entries()) if (this.words[i] !== word) this.words[i] = VARIABLE;
  }
}

interface Group {
  templates: Template[];
  /** Whether the group has exceeded MAX_VARIANTS, after which similar templates are merged. */
  isCrowded: boolean;
}

/**
 * Finds the templates of log messages, in the manner of Drain (He et al., ICWS 2017): texts are grouped by
 * their shape, which is the separators between their words, then by the similarity of the words. A word with
 * a digit is variable at once; other words only if a shape has so many templates that they cannot all be
 * different messages. Memory is bounded: texts beyond MAX_TEMPLATES have no template.
 */
export class TemplateMiner {
  readonly #groups = new Map<string, Group>();
  /** Templates by text with its values masked. */
  readonly #known = new Map<string, Template>();
  #numTemplates = 0;

  /**
   * Returns the template of a text, which later texts may generalize or merge into another (`current`); null
   * if the text is too long or beyond the limit of templates.
   */
  add(text: string): Template | null {
    if (text.length > MAX_CHARACTERS) return null;
    const masked = text.replace(WORD, (word) => (VALUE.test(word) ? VARIABLE : word));
    const known = this.#known.get(masked);
    if (known !== undefined) return known;
    const template = this.#place(masked.replace(WORD, 'w'), masked.match(WORD) ?? []);
    if (template !== null && this.#known.size < MAX_KNOWN_TEXTS) this.#known.set(masked, template);
    return template;
  }

  #place(shape: string, words: string[]): Template | null {
    const group = this.#groups.get(shape) ?? { templates: [], isCrowded: false };
    const similar = group.isCrowded ? mostSimilar(group.templates, words) : same(group.templates, words);
    if (similar !== null) {
      similar.generalizeTo(words);
      return similar;
    }
    if (this.#numTemplates >= MAX_TEMPLATES) return null;
    const template = new Template(shape, words);
    group.templates.push(template);
    this.#groups.set(shape, group);
    this.#numTemplates++;
    if (!group.isCrowded && group.templates.length > MAX_VARIANTS) this.#crowd(group);
    return template;
  }

  /** Merges similar templates of a group. */
  #crowd(group: Group): void {
    const merged: Template[] = [];
    for (const template of group.templates) {
      const similar = mostSimilar(merged, template.words);
      if (similar === null) merged.push(template);
      else {
        similar.generalizeTo(template.words);
        template.into = similar;
      }
    }
    this.#numTemplates -= group.templates.length - merged.length;
    group.templates = merged;
    group.isCrowded = true;
  }
}

/** Returns this template, or the one into which it has been merged. */
export function current(template: Template): Template {
  let found = template;
  while (found.into !== null) found = found.into;
  return found;
}

function same(templates: readonly Template[], words: readonly string[]): Template | null {
  return templates.find((template) => template.words.every((word, i) => word === words[i])) ?? null;
}

function mostSimilar(templates: readonly Template[], words: readonly string[]): Template | null {
  let best: Template | null = null;
  let most = MIN_SIMILARITY;
  for (const template of templates) {
    const similarity = template.similarityTo(words);
    if (similarity < most || (similarity === most && best !== null)) continue;
    best = template;
    most = similarity;
  }
  return best;
}

/** The part of a line from which its template is made, and what a pattern filter needs around it. */
interface LineMessage {
  readonly before: string;
  readonly text: string;
  readonly after: string;
}

const KEYS = ['"msg":"', '"message":"'];

/**
 * Returns the message of a JSON line, as the line has it, or the whole of any other line. The other fields of
 * a JSON line would make a template for each step.
 */
export function messageOfLine(line: string): LineMessage {
  if (line.startsWith('{'))
    for (const key of KEYS) {
      // pino writes the message last; an earlier key may belong to a nested error.
      const at = line.lastIndexOf(key);
      const from = at + key.length;
      const to = at < 0 ? -1 : endOfString(line, from);
      if (to >= 0) return { before: VARIABLE + key, text: line.slice(from, to), after: `"${VARIABLE}` };
    }
  return { before: '', text: line, after: '' };
}

/** Returns the index of the quote that ends a JSON string; -1 if there is none. */
function endOfString(line: string, from: number): number {
  for (let at = from; at < line.length; at++) {
    if (line[at] === '\\') at++;
    else if (line[at] === '"') return at;
  }
  return -1;
}
