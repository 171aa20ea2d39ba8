import type {
  Comparison,
  Extraction,
  LabelCondition,
  LabelPick,
  LineFilter,
  LogQuery,
  Matcher,
  Stage,
} from './ast.js';
import type { Cursor } from './cursor.js';
import { Regex, RegexGroup } from './regex.js';
import { notSupported, syntaxError } from './syntax-error.js';
import { parseBytes, parseDurationS } from './units.js';

const COMPARISON_BY_NODE: Readonly<Record<string, Comparison>> = {
  Eq: '=',
  Eql: '=',
  Neq: '!=',
  Gtr: '>',
  Gte: '>=',
  Lss: '<',
  Lte: '<=',
};

/** Reads a LogExpr: stream selector and pipeline. */
export function readLog(expression: Cursor): LogQuery {
  const inner = expression.find('LogExpr');
  if (inner !== undefined) return readLog(inner);
  const pipeline = expression.find('PipelineExpr');
  return {
    kind: 'log',
    matchers: readSelector(expression.get('Selector')),
    stages: pipeline === undefined ? [] : readPipeline(pipeline),
  };
}

/** @throws LogsError `BAD_INPUT` if every matcher accepts the empty value */
export function readSelector(selector: Cursor): Matcher[] {
  const matchers = selector.all('Matcher').map(readMatcher);
  if (!matchers.some(isSelective))
    throw syntaxError(
      selector.query,
      selector.at,
      'queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, app=~".*" does not meet this requirement, but app=~".+" will',
    );
  return matchers;
}

function isSelective({ op, value }: Matcher): boolean {
  if (op === '=') return value !== '';
  return op === '=~' && !new Regex(value, new RegexGroup()).testWhole('');
}

function readMatcher(node: Cursor): Matcher {
  const op = node.get('Eq', 'Neq', 'Re', 'Nre').text as Matcher['op'];
  const value = node.get('String').string;
  // Refused here rather than at the first line.
  if (op === '=~' || op === '!~') new Regex(value, node.regexes);
  return { name: node.get('Identifier').text, op, value };
}

/** Reads a PipelineExpr, which the grammar nests to the left. */
export function readPipeline(pipeline: Cursor): Stage[] {
  const before = pipeline.find('PipelineExpr');
  const stages = before === undefined ? [] : readPipeline(before);
  return [...stages, ...readStage(pipeline.get('PipelineStage'))];
}

function readStage(stage: Cursor): Stage[] {
  const content = stage.children.find(({ name }) => name !== 'Pipe');
  if (content === undefined) throw syntaxError(stage.query, stage.at, 'syntax error: empty stage');
  switch (content.name) {
    case 'LineFilters':
      return content.all('LineFilter').map(readLineFilter);
    case 'LabelParser':
      return [readParser(content)];
    case 'JsonExpressionParser':
      return [{ kind: 'json', extractions: readExtractions(content) }];
    case 'LogfmtParser':
    case 'LogfmtExpressionParser':
      return [readLogfmt(content)];
    case 'LabelFilter':
      return [{ kind: 'label-filter', condition: readCondition(content) }];
    case 'DropLabelsExpr':
      return [{ kind: 'drop', picks: content.all('DropLabel').map(readPick) }];
    case 'KeepLabelsExpr':
      return [{ kind: 'keep', picks: content.all('KeepLabel').map(readPick) }];
    case 'LineFormatExpr':
      return [{ kind: 'line-format', parts: readTemplate(content.get('String')) }];
    default:
      throw notSupported(content.query, content.at, content.text.split(/[\s(]/)[0]);
  }
}

function readLineFilter(node: Cursor): LineFilter {
  const op = node.get('Filter').text;
  if (op === '|>' || op === '!>') throw notSupported(node.query, node.at, op);
  const ip = node.find('FilterOp') ?? node.all('FilterOp')[0];
  if (ip !== undefined) throw notSupported(node.query, ip.at, 'ip');
  const texts = node.all('String').map(({ string }) => string);
  if (op.endsWith('~')) for (const text of texts) new Regex(text, node.regexes);
  return { kind: 'line-filter', op: op as LineFilter['op'], texts };
}

function readParser(node: Cursor): Stage {
  const [parser] = node.children;
  if (parser.name === 'Json') return { kind: 'json', extractions: [] };
  throw notSupported(node.query, node.at, parser.text);
}

function readLogfmt(node: Cursor): Stage {
  const flags = node.all('ParserFlag').map(({ text }) => text);
  return {
    kind: 'logfmt',
    extractions: readExtractions(node),
    strict: flags.includes('--strict'),
    keepEmpty: flags.includes('--keep-empty'),
  };
}

function readExtractions(node: Cursor): Extraction[] {
  return node.all('LabelExtractionExpression').map((expression) => {
    const name = expression.get('Identifier').text;
    return { name, path: expression.find('String')?.string ?? name };
  });
}

/** Reads a LabelFilter; `,` between two conditions means `and`. */
export function readCondition(node: Cursor): LabelCondition {
  const parts = node.children.filter(({ name }) => name === 'LabelFilter');
  if (parts.length === 2)
    return {
      kind: node.find('Or') === undefined ? 'and' : 'or',
      left: readCondition(parts[0]),
      right: readCondition(parts[1]),
    };
  if (parts.length === 1) return readCondition(parts[0]);
  const matcher = node.find('Matcher');
  if (matcher !== undefined) return { kind: 'text', matcher: readMatcher(matcher) };
  const number = node.find('NumberFilter');
  if (number !== undefined)
    return readComparison(number, 'number', readNumber(number.get('LiteralExpr', 'Number')));
  const [unit] = node.find('UnitFilter')?.children ?? [];
  if (unit?.name === 'DurationFilter')
    return readComparison(unit, 'duration', parseDurationS(unit.get('Duration').text));
  if (unit?.name === 'BytesFilter') return readComparison(unit, 'bytes', parseBytes(unit.get('Bytes').text));
  throw notSupported(node.query, node.at, node.find('IpLabelFilter') === undefined ? node.text : 'ip');
}

function readComparison(node: Cursor, kind: 'number' | 'duration' | 'bytes', value: number): LabelCondition {
  if (Number.isNaN(value))
    throw syntaxError(node.query, node.at, `${node.text} compares with something that is not a ${kind}`);
  const operator = node.get(...Object.keys(COMPARISON_BY_NODE));
  return { kind, name: node.get('Identifier').text, op: COMPARISON_BY_NODE[operator.name], value };
}

/** The value of a LiteralExpr with its sign, or of a Number. */
export function readNumber(node: Cursor): number {
  const value = Number(node.text.replace(/\s/g, ''));
  if (Number.isNaN(value)) throw syntaxError(node.query, node.at, `${node.text} is not a number`);
  return value;
}

function readPick(node: Cursor): LabelPick {
  const matcher = node.find('Matcher');
  if (matcher === undefined) return { name: node.get('Identifier').text, matcher: null };
  const read = readMatcher(matcher);
  return { name: read.name, matcher: read };
}

/** Supports only names in templates: `step {{.step}}: {{ .msg }}`. */
function readTemplate(node: Cursor): string[] {
  const parts = node.string.split(/\{\{(.*?)\}\}/s);
  return parts.map((part, i) => {
    if (i % 2 === 0) return part;
    const name = /^\s*(?:\.([A-Za-z_]\w*)|(__line__))\s*$/.exec(part);
    if (name === null)
      throw syntaxError(
        node.query,
        node.at,
        `line_format: \`{{${part}}}\` is not supported, only {{.label}} and {{__line__}}`,
      );
    return name[1] ?? name[2];
  });
}
