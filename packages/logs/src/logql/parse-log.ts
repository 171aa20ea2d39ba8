import type { Extraction, LabelFormat, LabelPick, LogQuery, Stage } from './ast.js';
import { parseJsonPath } from './json-fields.js';
import { readCondition, readLineFilter, readMatcher, readSelector } from './parse-filter.js';
import { parsePattern } from './pattern.js';
import { Regex } from './regex.js';
import type { Template } from './template/ast.js';
import { parseTemplate } from './template/parse.js';
import type { Token, Tokens } from './tokens.js';

export function readLog(tokens: Tokens): LogQuery {
  if (tokens.accept('(') !== null) {
    const inner = tokens.nested(() => readLog(tokens));
    tokens.expect(')');
    return inner;
  }
  const matchers = readSelector(tokens);
  const stages: Stage[] = [];
  while (isStage(tokens)) stages.push(readStage(tokens));
  return { kind: 'log', matchers, stages };
}

export function isStage(tokens: Tokens): boolean {
  return tokens.is('|', '|=', '!=', '|~', '!~', '|>', '!>');
}

/** Readers of stages by their first word, which has been consumed already. */
const STAGES: Readonly<Record<string, (tokens: Tokens, word: Token) => Stage>> = {
  json: (tokens) => ({ kind: 'json', extractions: readExtractions(tokens, parseJsonPath) }),
  logfmt: readLogfmt,
  regexp: readRegexp,
  pattern: readPattern,
  unpack: () => ({ kind: 'unpack' }),
  decolorize: () => ({ kind: 'decolorize' }),
  line_format: (tokens) => ({ kind: 'line-format', template: readTemplate(tokens) }),
  label_format: (tokens) => ({ kind: 'label-format', formats: readLabelFormats(tokens) }),
  drop: (tokens) => ({ kind: 'drop', picks: tokens.list(() => readPick(tokens)) }),
  keep: (tokens) => ({ kind: 'keep', picks: tokens.list(() => readPick(tokens)) }),
  unwrap(tokens, word) {
    throw tokens.errorAt(word, '`unwrap` goes with a range aggregation such as sum_over_time');
  },
  distinct(tokens, word) {
    throw tokens.notSupported(word);
  },
};

export function readStage(tokens: Tokens): Stage {
  if (tokens.accept('|') === null) return readLineFilter(tokens);
  if (!tokens.isKind('word') || !Object.hasOwn(STAGES, tokens.next.text))
    return { kind: 'label-filter', condition: readCondition(tokens) };
  const word = tokens.take();
  return STAGES[word.text]!(tokens, word);
}

function readLogfmt(tokens: Tokens): Stage {
  const flags: string[] = [];
  while (tokens.isKind('flag')) flags.push(tokens.take().text);
  return {
    kind: 'logfmt',
    extractions: readExtractions(tokens, (path) => (/^[^\s="]+$/.test(path) ? path : null)),
    strict: flags.includes('--strict'),
    keepEmpty: flags.includes('--keep-empty'),
  };
}

/** @param parse returns null for an invalid path */
function readExtractions<T>(tokens: Tokens, parse: (path: string) => T | null): Extraction[] {
  if (!tokens.isKind('word')) return [];
  return tokens.list(() => {
    const token = tokens.next;
    const name = tokens.name();
    const path = tokens.accept('=') === null ? name : tokens.string();
    if (parse(path) === null) throw tokens.errorAt(token, `cannot parse expression [${path}]`);
    return { name, path };
  });
}

function readPattern(tokens: Tokens): Stage {
  const token = tokens.next;
  const pattern = tokens.string();
  parsePattern(pattern, (message) => tokens.errorAt(token, message));
  return { kind: 'pattern', pattern };
}

function readRegexp(tokens: Tokens): Stage {
  const token = tokens.next;
  const pattern = tokens.string();
  if (new Regex(pattern, tokens.regexes).groupNames.length === 0)
    throw tokens.errorAt(token, 'at least one named capture must be supplied: (?P<name>...)');
  return { kind: 'regexp', pattern };
}

function readTemplate(tokens: Tokens): Template {
  const token = tokens.next;
  return parseTemplate(tokens.string(), (message) => tokens.errorAt(token, message));
}

function readLabelFormats(tokens: Tokens): LabelFormat[] {
  const names = new Set<string>();
  return tokens.list(() => {
    const token = tokens.next;
    const name = tokens.name();
    if (name === '__error__') throw tokens.errorAt(token, '__error__ cannot be formatted');
    if (names.has(name)) throw tokens.errorAt(token, `${name} is set twice by one label_format`);
    names.add(name);
    tokens.expect('=');
    return tokens.isKind('word')
      ? { name, source: tokens.name(), template: null }
      : { name, source: null, template: readTemplate(tokens) };
  });
}

function readPick(tokens: Tokens): LabelPick {
  const name = tokens.name();
  const isMatcher = tokens.is('=', '!=', '=~', '!~');
  return { name, matcher: isMatcher ? readMatcher(tokens, name) : null };
}
