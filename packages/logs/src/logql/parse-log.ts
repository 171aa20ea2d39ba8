import type { Extraction, LabelFormat, LabelPick, LogQuery, Stage } from './ast.js';
import { parseJsonPath } from './json-fields.js';
import { readCondition, readLineFilter, readMatcher, readSelector } from './parse-filter.js';
import { parsePattern } from './pattern.js';
import { Regex } from './regex.js';
import type { Template } from './template/ast.js';
import { parseTemplate } from './template/parse.js';
import type { Tokens } from './tokens.js';

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

export function readStage(tokens: Tokens): Stage {
  if (tokens.accept('|') === null) return readLineFilter(tokens);
  switch (tokens.isKind('word') ? tokens.next.text : '') {
    case 'json':
      tokens.take();
      return { kind: 'json', extractions: readExtractions(tokens, parseJsonPath) };
    case 'logfmt':
      tokens.take();
      return readLogfmt(tokens);
    case 'regexp':
    case 'pattern':
      return readExtractor(tokens);
    case 'unpack':
    case 'decolorize':
      return { kind: tokens.take().text as 'unpack' | 'decolorize' };
    case 'line_format':
      tokens.take();
      return { kind: 'line-format', template: readTemplate(tokens) };
    case 'label_format':
      tokens.take();
      return { kind: 'label-format', formats: readLabelFormats(tokens) };
    case 'drop':
    case 'keep': {
      const kind = tokens.take().text as 'drop' | 'keep';
      return { kind, picks: tokens.list(() => readPick(tokens)) };
    }
    case 'unwrap':
      throw tokens.errorAt(tokens.next, '`unwrap` goes with a range aggregation such as sum_over_time');
    case 'distinct':
      throw tokens.notSupported(tokens.next);
    default:
      return { kind: 'label-filter', condition: readCondition(tokens) };
  }
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

/** @param parse null for a path that is none */
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

function readExtractor(tokens: Tokens): Stage {
  const kind = tokens.take().text as 'regexp' | 'pattern';
  const token = tokens.next;
  const pattern = tokens.string();
  const fail = (message: string) => tokens.errorAt(token, message);
  if (kind === 'pattern') parsePattern(pattern, fail);
  else {
    const { groupNames } = new Regex(pattern, tokens.regexes);
    if (groupNames.length === 0) throw fail('at least one named capture must be supplied: (?P<name>...)');
  }
  return { kind, pattern };
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
