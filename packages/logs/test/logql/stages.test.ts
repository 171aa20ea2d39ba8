import { describe, expect, it } from 'vitest';
import { transform } from '../support.js';

/** A line, a pipeline, and the labels that it adds. */
type Row = [string, string, Record<string, string>];

const DROP = '| drop __error_details__';

describe('labels that a stage extracts', () => {
  it.each<Row>([
    // Numbers keep their spelling, the first of two values counts, and so does what precedes an error.
    [
      '{"id":9007199254740993,"v":1.10,"e":0.1e1}',
      '| json',
      { id: '9007199254740993', v: '1.10', e: '0.1e1' },
    ],
    ['{"a":1,"a":2}', '| json', { a: '1' }],
    ['{"a":"x","b', `| json ${DROP}`, { a: 'x', __error__: 'JSONParserErr' }],
    ['[1]', `| json ${DROP}`, { __error__: 'JSONParserErr' }],
    ['', `| json ${DROP}`, { __error__: 'JSONParserErr' }],
    [
      '{"a b":true,"9x":false,"n":null,"l":[{"x":1}],"o":{"p":{"q":"\\u00e9\\n"}}}',
      '| json',
      { a_b: 'true', _9x: 'false', o_p_q: 'é\n' },
    ],
    ['{"source":"extra"}', '| json', { source_extracted: 'extra' }],
    [
      '{"a":{"b":[1,{"c":"d"}],"e":null},"f g":2}',
      '| json x="a.b[1].c", y="a.b", z=`["f g"]`',
      { x: 'd', y: '[1,{"c":"d"}]', z: '2' },
    ],
    ['{"a":{"b":1,"e":null}}', '| json x="a", y="a.e", z="a.none"', { x: '{"b":1,"e":null}', y: '', z: '' }],
    ['{"a":1', '| json x="a", y="b"', { x: '1', y: '' }],
    ['', '| json x="a"', {}],
    ['plain', `| json x="a" ${DROP}`, { __error__: 'JSONParserErr' }],
    ['a=1 a=2 b="x y" c= d', '| logfmt', { a: '1', b: 'x y' }],
    ['a=1', '| logfmt a, x="b"', { a: '1', x: '' }],
    ['a=1 c= e', '| logfmt --keep-empty', { a: '1', c: '', e: '' }],
    ['a=1 d="say \\"hi\\""', '| logfmt', { a: '1', d: 'say "hi"' }],
    ['a=1 "oops', '| logfmt', { a: '1' }],
    ['a=1 "oops', `| logfmt --strict ${DROP}`, { a: '1', __error__: 'LogfmtParserErr' }],
    ['no json', '| json | drop __error__, __error_details__', {}],
    ['a=x', `| logfmt | a > 1 ${DROP}`, { a: 'x', __error__: 'LabelFilterErr' }],
    ['a==1 b=x=y c=3', '| logfmt', { c: '3' }],
    ['{"a":1} b=2', '| json | logfmt', { a: '1', b: '2' }],
    [
      'GET /x 200',
      '| regexp "(?P<method>\\\\w+) (?P<path>\\\\S+)( (?P<none>x))?"',
      { method: 'GET', path: '/x', none: '' },
    ],
    ['GET', '| regexp "(?P<n>\\\\d+)"', {}],
    ['worker 3', '| regexp "(?P<source>\\\\w+)"', { source_extracted: 'worker' }],
    [
      '10.0.0.1 - [now] "GET /x"',
      '| pattern `<ip> <_> [<at>] "<method> <path>"`',
      { ip: '10.0.0.1', at: 'now', method: 'GET', path: '/x' },
    ],
    ['x: 1', '| pattern "y: <v>"', {}],
    ['one two', '| pattern "<a> <b>, <c>"', { a: 'one', b: 'two' }],
    ['plain', `| unpack ${DROP}`, { __error__: 'JSONParserErr' }],
    ['{"a":"b"}', '| unpack', {}],
  ])('%s %s', async (line, pipeline, labels) => {
    expect((await transform(line, pipeline))?.[0]).toEqual(labels);
  });

  it('unpack restores a packed line', async () => {
    const line = '{"job":"x","n":1,"_entry":"code=42"}';
    expect(await transform(line, '| unpack | logfmt')).toEqual([{ job: 'x', code: '42' }, 'code=42']);
  });

  it('keep what was written first, but for formats', async () => {
    const pipeline = '| json | label_format b=a, c="{{.a}}{{.d}}", d="{{.c}}" | line_format "{{.b}}{{.c}}"';
    expect(await transform('{"a":"1","d":"2"}', pipeline)).toEqual([{ b: '1', c: '2', d: '' }, '12']);
  });

  it.each<Row>([
    ['a=1', '| logfmt | label_format b=a', { b: '1' }],
    ['a=1', '| logfmt | label_format b=none', { a: '1' }],
    ['a=1', '| logfmt | label_format a="{{.a}}!"', { a: '1!' }],
    ['a=1', '| logfmt | label_format b=`{{.a | printf "<%s>"}}`', { a: '1', b: '<1>' }],
    ['a=1', `| logfmt | label_format b="{{div .a 0}}" ${DROP}`, { a: '1', __error__: 'TemplateFormatErr' }],
    ['a=1 b=2', '| logfmt | keep a', { a: '1' }],
  ])('%s %s', async (line, pipeline, labels) => {
    expect((await transform(line, pipeline))?.[0]).toEqual(labels);
  });
});

describe('the line that a stage makes', () => {
  const ESC = '\u001b';
  it.each([
    [`${ESC}[1;31mred${ESC}[0m ${ESC}]0;title\u0007plain`, '| decolorize', 'red plain'],
    ['a=1', '| logfmt | line_format "<{{.a}}> {{.none}}{{__line__}}"', '<1> a=1'],
    ['x', '| json | line_format "{{.__error__}}"', ''],
    ['x', '| json | line_format "error: {{.__error__}}"', 'error: JSONParserErr'],
    ['x', '| line_format "{{ div 1 0 }}"', 'x'],
    ['x', '| line_format "é" |= "é"', 'é'],
  ])('%j %s', async (line, pipeline, text) => {
    expect((await transform(line, pipeline))?.[1]).toBe(text);
  });
});

describe('a filter', () => {
  it.each<[string, string, boolean]>([
    ['GET /x 200', '|> "GET <_> 200"', true],
    ['GET /x 200', '|> "<_> 200"', true],
    ['GET /x 200', '|> "GET <_>"', true],
    ['GET /x 200', '|> "GET"', false],
    ['GET  200', '|> "GET <_> 200"', false],
    ['GET /x 200 ', '|> "<_> 200"', false],
    ['GET /x 200', '!> "<_> 200"', false],
    ['GET /x 200', '!> "<_> 500" or "<_> 404"', true],
    ['GET /x 200', '|> "<_> 500" or "<_> 200"', true],
    ['from 10.1.2.3:80 on', '|= ip("10.1.0.0/16")', true],
    ['from 10.1.2.3:80 on', '|= ip("10.1.2.1-10.1.2.4")', true],
    ['from 10.1.2.3:80 on', '|= ip("10.1.2.3")', true],
    ['from 10.1.2.3:80 on', '|= ip("10.2.0.0/16")', false],
    ['from 10.1.2.3:80 on', '|= ip("10.2.0.0/16") or "on"', true],
    ['from 10.1.2.3:80 on', '!= ip("10.1.2.3") or "off"', false],
    ['peer=[2001:db8::7]:443', '|= ip("2001:db8::/32")', true],
    ['peer=[2001:db9::7]:443', '|= ip("2001:db8::/32")', false],
    ['no address', '!= ip("10.0.0.0/8")', true],
    ['a=10.0.0.1', '| logfmt | a = ip("10.0.0.0/8")', true],
    ['a=10.0.0.1', '| logfmt | a != ip("10.0.0.0/8")', false],
    ['a=x', '| logfmt | a != ip("10.0.0.0/8")', true],
    ['b=x', '| logfmt | a != ip("10.0.0.0/8")', false],
    ['a=1 b=2', '| logfmt | a="1" b="2"', true],
    ['a=1 b=2', '| logfmt | a="1" b="3"', false],
    ['a=1 b=2', '| logfmt | a="1" or b="3" a="2"', true],
    ['a=1 b=2', '| logfmt | (a="1" or b="3") and a="2"', false],
    // A line without the label does not pass; a value of the wrong kind passes, with an error.
    ['not json', '| json | step = 1', false],
    ['not json', '| json | took > 1s', false],
    ['not json', '| json | size > 1KB', false],
    ['not json', '| json | step = ip("10.0.0.1")', true],
    ['took=x size=1KB', '| logfmt | took > 1s and size > 2KB', false],
    ['took=1d', '| logfmt | took > 0s | __error__=""', false],
    ['took=25h', '| logfmt | took > 1d | __error__=""', true],
    ['took=90', '| logfmt | took > 1s | __error__=""', false],
    ['took=1.5h', '| logfmt | took == 90m | __error__=""', true],
    ['size=2,048', '| logfmt | size == 2KiB | __error__=""', true],
    ['size=1.5b', '| logfmt | size == 1B | __error__=""', true],
    ['n=0x1p3', '| logfmt | n == 8 | __error__=""', true],
    ['n=1_000', '| logfmt | n = 1000 | __error__=""', true],
    ['n=+Inf', '| logfmt | n > 1e300 | __error__=""', true],
    ['漢字', '|~ "\\\\p{Han}+"', true],
    ['kanji', '|~ `\\p{Han}+`', false],
    ['a "quoted" \\x', '|= `"quoted" \\x`', true],
  ])('%s %s: %s', async (line, pipeline, passes) => {
    expect((await transform(line, pipeline)) !== null).toBe(passes);
  });
});
