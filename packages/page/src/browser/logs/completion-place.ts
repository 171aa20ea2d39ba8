import { masked, matchersBefore, STRING } from './query-edit.js';

/** The kinds of text that fit at a place of a query. */
export type Wanted =
  /** A function, or a stream selector. */
  | { readonly kind: 'start' }
  | { readonly kind: 'label' }
  | { readonly kind: 'matcher' }
  | { readonly kind: 'label-value'; readonly name: string; readonly isPattern: boolean }
  /** An operator or a stage, which follows a selector or another stage. */
  | { readonly kind: 'stage' }
  /** A stage, or a field to test, behind a pipe. */
  | { readonly kind: 'stage-or-field' }
  | { readonly kind: 'field' }
  | { readonly kind: 'comparison'; readonly name: string }
  | { readonly kind: 'field-value'; readonly name: string; readonly isPattern: boolean }
  /** A name to group by. */
  | { readonly kind: 'grouping' }
  | { readonly kind: 'duration' };

/** A place to complete: the kind of text that fits, and the range of text that it replaces. */
export interface CompletionPlace {
  readonly wanted: Wanted;
  readonly from: number;
  readonly to: number;
  /** The part of the replaced text that is before the cursor. */
  readonly typed: string;
  /** A selector of the matchers that are already complete, which narrows requests; empty for all streams. */
  readonly selector: string;
}

const KEYWORDS =
  /^(?:json|logfmt|regexp|pattern|unpack|decolorize|line_format|label_format|drop|keep|unwrap)$/;
const COMPARISON = '=~|!~|!=|==|>=|<=|=|>|<';

/**
 * Returns what can be completed at the cursor of a query, which may be unfinished; null for nothing. Only the
 * text around the cursor is examined: LogQL is parsed in full only by the server.
 */
export function completionPlace(query: string, cursor: number): CompletionPlace | null {
  const head = query.slice(0, cursor);
  const quoteAt = openQuote(head);
  const place = quoteAt === -1 ? outsideStrings(head) : insideString(head, quoteAt);
  if (place === null) return null;
  const { wanted, typed } = place;
  const isValue = wanted.kind.endsWith('-value');
  const rest = query.slice(cursor);
  // The rest of the word is replaced too.
  const after = (isValue ? /^[^"`,{}|\s]*["`]?/ : /^\w*/).exec(rest)?.[0] ?? '';
  return {
    wanted,
    typed,
    from: cursor - typed.length - (quoteAt === -1 ? 0 : 1),
    to: cursor + after.length,
    selector: matchersBefore(query, cursor),
  };
}

interface Found {
  readonly wanted: Wanted;
  readonly typed: string;
}

/** Returns the index of the quote that opens the string at the end of a text; -1 if it ends outside of strings. */
function openQuote(text: string): number {
  const rest = text.replace(new RegExp(STRING, 'g'), (string) => 'S'.repeat(string.length));
  return rest.search(/["`]/);
}

function isInSelector(text: string): boolean {
  return text.lastIndexOf('{') > text.lastIndexOf('}');
}

function insideString(head: string, quoteAt: number): Found | null {
  const before = masked(head.slice(0, quoteAt));
  const test = new RegExp(`([A-Za-z_]\\w*)\\s*(${COMPARISON})\\s*$`).exec(before);
  if (test === null) return null;
  const [, name = '', operator = ''] = test;
  const isPattern = operator.endsWith('~');
  const kind = isInSelector(before) ? 'label-value' : 'field-value';
  return { wanted: { kind, name, isPattern }, typed: head.slice(quoteAt + 1) };
}

function outsideStrings(head: string): Found | null {
  const text = masked(head);
  if (isInSelector(text)) return inSelector(text.slice(text.lastIndexOf('{') + 1));
  const range = /\[\s*(\w*)$/.exec(text);
  if (range !== null) return { wanted: { kind: 'duration' }, typed: range[1]! };
  const group = /\b(?:by|without)\s*\((?:[^)]*,)?\s*(\w*)$/.exec(text);
  if (group !== null) return { wanted: { kind: 'grouping' }, typed: group[1]! };
  const selectorEnd = text.lastIndexOf('}');
  const pipeline = text.slice(selectorEnd + 1);
  // The cursor is after the range of a metric query, or before any selector.
  if (selectorEnd === -1 || /[[)]/.test(pipeline)) {
    const word = /(?:^|[\s(,+*/-])(\w*)$/.exec(text);
    return word && { wanted: { kind: 'start' }, typed: word[1]! };
  }
  return inPipeline(pipeline);
}

function inSelector(text: string): Found | null {
  const matcher = /(?:^|,)\s*(?:([A-Za-z_]\w*)(\s*)(=~|!~|!=|[=!])?\s*)?$/.exec(text);
  if (matcher === null) return null;
  const [, name, space, operator] = matcher;
  if (name === undefined || (space === '' && operator === undefined))
    return { wanted: { kind: 'label' }, typed: name ?? '' };
  if (operator === undefined || operator === '!')
    return { wanted: { kind: 'matcher' }, typed: operator ?? '' };
  return { wanted: { kind: 'label-value', name, isPattern: operator.endsWith('~') }, typed: '' };
}

function inPipeline(pipeline: string): Found | null {
  const pipe = pipeline.lastIndexOf('|');
  const stage = pipeline.slice(pipe + 1);
  if (pipe === -1 || /^[=~>]|S\s*$/.test(stage))
    return /(?:^|S)\s+$|^$/.test(pipe === -1 ? pipeline : stage) ? STAGE : null;
  if (/^\s*\w*$/.test(stage)) {
    const typed = stage.trimStart();
    return { wanted: { kind: 'stage-or-field' }, typed };
  }
  const [, first] = /^\s*(\w+)/.exec(stage) ?? [];
  if (first !== undefined && KEYWORDS.test(first)) return /^\s*\w+\s+$/.test(stage) ? STAGE : null;
  const test = new RegExp(
    `(?:^|\\b(?:and|or)\\b|,|\\()\\s*([A-Za-z_]\\w*)(\\s*)(${COMPARISON}|!)?\\s*$`,
  ).exec(stage);
  if (test !== null) {
    const [, name = '', space, operator] = test;
    if (/^(?:and|or)$/.test(name)) return { wanted: { kind: 'field' }, typed: '' };
    if (operator === undefined && space === '') return { wanted: { kind: 'field' }, typed: name };
    if (operator === undefined || operator === '!')
      return { wanted: { kind: 'comparison', name }, typed: operator ?? '' };
    return { wanted: { kind: 'field-value', name, isPattern: operator.endsWith('~') }, typed: '' };
  }
  if (/(?:\b(?:and|or)|,)\s+$/.test(stage)) return { wanted: { kind: 'field' }, typed: '' };
  return /[\w)]\s+$/.test(stage) ? STAGE : null;
}

const STAGE: Found = { wanted: { kind: 'stage' }, typed: '' };
