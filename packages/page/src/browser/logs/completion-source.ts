import {
  type DetectedField,
  fetchFields,
  fetchFieldValues,
  fetchLabels,
  fetchLabelValues,
  type LabelsRequest,
  quoted,
} from '../loki.js';
import type { CompletionPlace } from './completion-place.js';
import { hasParser } from './query-edit.js';
import type { Suggestion } from './suggestion-list.js';

const MAX_SUGGESTIONS = 50;
/** Answers are fetched again after this time, as a live run logs new values. */
const KEPT_MS = 30_000;
const MAX_KEPT = 50;
/** The times of requests are rounded to minutes, so that requests soon after each other share an answer. */
const ROUND_MS = 60_000;

const withDetail = (detail: string, ...texts: readonly string[]): Suggestion[] =>
  texts.map((text) => ({ text, detail, insert: text }));

/** @param caret number of characters from the cursor to the end of the inserted text */
const snippet = (insert: string, detail: string, caret = 0): Suggestion => ({
  text: insert,
  insert,
  detail,
  caret,
});

/** @param details descriptions by the text to insert */
const snippets = (details: Readonly<Record<string, string>>) =>
  Object.entries(details).map(([insert, detail]) => snippet(insert, detail));

const START: readonly Suggestion[] = [
  ...snippets({
    '{': 'lines of streams',
    'count_over_time(': 'lines in a window',
    'rate(': 'lines per second',
    'sum by (level) (': 'sum of series',
  }),
  ...withDetail('in a window', 'bytes_over_time(', 'bytes_rate(', 'absent_over_time('),
  ...['sum', 'avg', 'min', 'max', 'first', 'last', 'stddev'].flatMap((name) =>
    withDetail('of unwrapped values', `${name}_over_time(`),
  ),
  snippet('quantile_over_time(0.95, ', 'of unwrapped values'),
  ...withDetail('of series', 'sum(', 'avg(', 'min(', 'max(', 'count('),
  ...withDetail('of series', 'topk(5, ', 'bottomk(5, ', 'sort_desc('),
];
const PARSERS = snippets({ json: 'extract fields of JSON', logfmt: 'extract fields of key=value' });
const STAGES: readonly Suggestion[] = [
  snippet('pattern ""', 'extract fields: "<name> at <_>"', 1),
  snippet('regexp ""', 'extract named groups', 1),
  snippet('line_format ""', 'rewrite the line: "{{.msg}}"', 1),
  ...withDetail('labels', 'label_format ', 'drop ', 'keep '),
  ...snippets({ 'unwrap ': 'use a field as the value', decolorize: 'remove colour codes' }),
];
const FILTERS: readonly Suggestion[] = [
  snippet('|= ""', 'line contains', 1),
  snippet('!= ""', 'line does not contain', 1),
  snippet('|~ ""', 'line matches', 1),
  snippet('!~ ""', 'line does not match', 1),
  snippet('|> ""', 'line is like: "<_> of <_>"', 1),
  ...PARSERS.map(({ insert, detail }) => snippet(`| ${insert}`, detail)),
  snippet('| ', 'another stage, or a test of a field'),
];
const MATCHERS = snippets({ '=': 'is', '!=': 'is not', '=~': 'matches', '!~': 'does not match' });
const BOUNDS = snippets({ '>': 'more than', '>=': 'at least', '<': 'less than', '<=': 'at most' });
const COMPARISONS = [...MATCHERS, ...BOUNDS].map((each) => ({ ...each, insert: `${each.insert} ` }));
const DURATIONS = ['10s', '1m', '5m', '15m', '1h'].map((text) => ({
  text,
  insert: `${text}]`,
  detail: 'window',
}));

/**
 * Suggests continuations of a query from the store's labels and fields. Answers are cached to save requests.
 */
export class CompletionSource {
  readonly #kept = new Map<string, { readonly at: number; readonly answer: Promise<readonly unknown[]> }>();

  /** @param rangeOf the time range of the view, in ms since 1970 */
  constructor(private readonly rangeOf: () => readonly [number, number]) {}

  /** Returns the suggestions that fit what is typed, best first. @throws RequestError */
  async suggestionsFor(place: CompletionPlace, query: string): Promise<readonly Suggestion[]> {
    return best(await this.#all(place, query.slice(0, place.from)), typedPart(place));
  }

  async #all(place: CompletionPlace, head: string): Promise<readonly Suggestion[]> {
    const { wanted } = place;
    switch (wanted.kind) {
      case 'start':
        return START;
      case 'matcher':
        return MATCHERS;
      case 'comparison':
        return COMPARISONS;
      case 'duration':
        return DURATIONS;
      case 'stage': {
        const isInCall = head.split('(').length > head.split(')').length;
        return isInCall ? [...FILTERS, snippet('[1m]', 'window')] : FILTERS;
      }
      case 'label':
        return (await this.#labels(place)).map((text) => ({ text, insert: `${text}=`, detail: 'label' }));
      case 'label-value':
        return valuesAs(await this.#labelValues(place, wanted.name), place);
      case 'grouping':
        return [
          ...withDetail('label', ...(await this.#labels(place))),
          ...(hasParser(head) || head.indexOf('{') === -1 ? fieldNames(await this.#fields(place)) : []),
        ];
      case 'field':
        return [...fieldNames(await this.#fields(place), ' '), ...labelNames(await this.#labels(place))];
      case 'stage-or-field': {
        const isParsed = hasParser(head);
        // Inserting a field also inserts the stage that extracts it.
        const fields = fieldNames(await this.#fields(place), ' ', isParsed);
        const names = [...fields, ...labelNames(await this.#labels(place))];
        const all = isParsed ? [...names, ...PARSERS, ...STAGES] : [...PARSERS, ...names, ...STAGES];
        return /\s$/.test(head) ? all : all.map((each) => ({ ...each, insert: ` ${each.insert}` }));
      }
      case 'field-value':
        return this.#fieldValues(place, wanted.name);
    }
  }

  async #fieldValues(place: CompletionPlace, name: string): Promise<Suggestion[]> {
    const field = (await this.#fields(place)).find(({ label }) => label === name);
    if (field === undefined) return valuesAs(await this.#labelValues(place, name), place);
    // Floats have too many distinct values to suggest.
    if (field.type === 'float') return [];
    const isNumber = field.type === 'int' && place.typed === '';
    const values = await this.#keep(`value ${name}`, place, (of) => fetchFieldValues(name, of));
    return isNumber ? withDetail('value', ...values) : valuesAs(values, place);
  }

  #labels(place: CompletionPlace): Promise<readonly string[]> {
    return this.#keep('labels', place, fetchLabels);
  }

  #labelValues(place: CompletionPlace, name: string): Promise<readonly string[]> {
    return this.#keep(`label ${name}`, place, (of) => fetchLabelValues(name, of));
  }

  /** Returns nothing without a selector, as the fields would be those of all runs. */
  async #fields(place: CompletionPlace): Promise<readonly DetectedField[]> {
    if (place.selector === '') return [];
    const fields = await this.#keep('fields', place, fetchFields);
    // The suffix marks a field with the same name as a label, and usually the same value.
    return fields.filter(({ label }) => !label.endsWith('_extracted'));
  }

  #keep<T>(
    what: string,
    { selector }: CompletionPlace,
    fetchIt: (of: LabelsRequest) => Promise<readonly T[]>,
  ): Promise<readonly T[]> {
    const [start, end] = this.rangeOf();
    const of = {
      selector,
      start: Math.floor(start / ROUND_MS) * ROUND_MS,
      end: Math.ceil(end / ROUND_MS) * ROUND_MS,
    };
    const key = `${what} ${of.start} ${of.end} ${selector}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined && performance.now() - kept.at < KEPT_MS)
      return kept.answer as Promise<readonly T[]>;
    const answer = fetchIt(of);
    this.#kept.delete(key);
    this.#kept.set(key, { at: performance.now(), answer });
    answer.catch(() => this.#kept.delete(key));
    for (const oldest of this.#kept.keys()) if (this.#kept.size > MAX_KEPT) this.#kept.delete(oldest);
    return answer;
  }
}

function labelNames(names: readonly string[]): Suggestion[] {
  return names.map((text) => ({ text, insert: `${text} `, detail: 'label' }));
}

function fieldNames(fields: readonly DetectedField[], after = '', isParsed = true): Suggestion[] {
  return fields.map(({ label, type, parsers }) => {
    const stage = isParsed || parsers === null ? '' : `${parsers[0]} | `;
    return { text: label, insert: `${stage}${label}${after}`, detail: `field, ${type}` };
  });
}

/** Suggests values as quoted strings; the alternatives of a pattern before its last `|` stay as they are. */
function valuesAs(values: readonly string[], { wanted, typed }: CompletionPlace): Suggestion[] {
  const isPattern = 'isPattern' in wanted && wanted.isPattern;
  const before = isPattern ? typed.slice(0, typed.lastIndexOf('|') + 1) : '';
  return values.map((text) => {
    const value = quoted(isPattern ? text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') : text);
    return { text, insert: `"${before}${value.slice(1)}`, detail: 'value' };
  });
}

function typedPart({ wanted, typed }: CompletionPlace): string {
  return 'isPattern' in wanted && wanted.isPattern ? typed.slice(typed.lastIndexOf('|') + 1) : typed;
}

/** Puts names that begin with what is typed before those that contain it, and drops an exact match. */
function best(all: readonly Suggestion[], typed: string): readonly Suggestion[] {
  const part = typed.toLowerCase();
  const found = all.filter(({ text }) => text.toLowerCase().includes(part));
  const begins = ({ text }: Suggestion) => text.toLowerCase().startsWith(part);
  const sorted = [...found.filter(begins), ...found.filter((each) => !begins(each))];
  return sorted.slice(0, MAX_SUGGESTIONS);
}
