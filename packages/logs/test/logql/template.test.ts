import { describe, expect, it } from 'vitest';
import { RegexGroup } from '../../src/logql/regex.js';
import { TemplateRunner } from '../../src/logql/template/evaluate.js';
import { parseTemplate } from '../../src/logql/template/parse.js';

const LABELS = new Map([
  ['app', 'shop'],
  ['path', '/api/v1/orders'],
  ['took', '1m30s'],
  ['n', '12'],
  ['empty', ''],
]);

function render(template: string, text = 'the line'): string {
  const parsed = parseTemplate(template, (message) => new Error(message));
  return new TemplateRunner(parsed, new RegexGroup()).run({
    labels: LABELS,
    text,
  });
}

describe('a template', () => {
  it.each([
    ['{{.app}} {{ .n }}{{.none}}', 'shop 12'],
    ['{{ __line__ }}', 'the line'],
    ['a {{- " b " -}} c', 'a b c'],
    ['a {{/* note */}} b', 'a  b'],
    ['{{ .app | upper | printf "%s-%s" .n }}', '12-SHOP'],
    ['{{ if .empty }}yes{{ else }}no{{ end }}', 'no'],
    ['{{ if eq .app "x" }}1{{ else if eq .app "shop" "y" }}2{{ else }}3{{ end }}', '2'],
    ['{{ if and (contains "v1" .path) (hasPrefix "/api" .path) }}v1{{ end }}', 'v1'],
    ['{{ if or .empty .app }}{{ not .empty }}{{ end }}', 'true'],
    ['{{ with .app }}<{{ . }}{{ $.n }}>{{ else }}none{{ end }}', '<shop12>'],
    ['{{ with .empty }}some{{ else }}none{{ end }}', 'none'],
    ['{{ $x := .n }}{{ $x = "13" }}{{ $x }}', '13'],
    [
      '{{ lt .app "t" }} {{ le 1 1 }} {{ gt 1.5 1.0 }} {{ ge "a" "b" }} {{ ne "a" "b" }}',
      'true true true false true',
    ],
  ])('%s', (template, text) => {
    expect(render(template)).toBe(text);
  });

  it.each([
    ['{{ .app | upper | lower | title }}', 'Shop'],
    ['{{ trunc 3 .path }} {{ trunc -6 .path }}', '/ap orders'],
    ['{{ substr 1 4 .path }} {{ substr -1 4 .path }} {{ substr 7 -1 .path }}', 'api /api /orders'],
    ['{{ .path | replace "/" "." }}', '.api.v1.orders'],
    [
      '[{{ trim "  a " }}] {{ trimAll "$" "$5$" }} {{ trimPrefix "/" .path }} {{ trimSuffix "ders" .path }}',
      '[a] 5 api/v1/orders /api/v1/or',
    ],
    ['{{ hasSuffix "orders" .path }} {{ contains "v2" .path }}', 'true false'],
    [`{{ regexReplaceAll "(\\\\w)pi/(v)" .path "\${2}-$1" }}`, '/v-a1/orders'],
    ['{{ regexReplaceAllLiteral "api" .path "$1" }}', '/$1/v1/orders'],
    [
      '[{{ alignLeft 6 .app }}] [{{ alignRight 6 .app }}] [{{ alignLeft 2 .app }}] [{{ alignRight 2 .app }}]',
      '[shop  ] [  shop] [sh] [op]',
    ],
    ['{{ .empty | default "-" }}{{ .app | default "-" }}', '-shop'],
    ['{{ bytes "2KB" }} {{ duration .took }} {{ duration_seconds "250ms" }}', '2000 90 0.25'],
    // These durations are not exact in binary.
    ['{{ duration "21.5ms" }} {{ duration "-1m2.29s" }} {{ duration "35.5ms" }}', '0.0215 -62.29 0.0355'],
  ])('texts: %s', (template, text) => {
    expect(render(template)).toBe(text);
  });

  it.each([
    ['{{ add 3 2 5 }} {{ sub 5 2 }} {{ mul 5 2 3 }} {{ div 10 3 }} {{ mod 10 3 }}', '10 3 30 3 1'],
    ['{{ add .n 1 }} {{ add "0x10" 1 }} {{ add "1.5" 1 }} {{ div -7 2 }}', '13 17 1 -3'],
    ['{{ addf 3.5 2 5 }} {{ subf 5.5 2 1.5 }} {{ mulf 5.5 2 2.5 }} {{ divf 10 2 4 }}', '10.5 2 27.5 1.25'],
    ['{{ max 1 2 3 }} {{ min 1 2 3 }}', '3 1'],
    [
      '{{ ceil 123.001 }} {{ floor 123.999 }} {{ round 123.555555 3 }} {{ round 1.25 1 }}',
      '124 123 123.556 1.3',
    ],
    ['{{ int "3" }} {{ float64 "3.5" }} {{ int 3.9 }} {{ int "3.7" }}', '3 3.5 3 0'],
    [
      '{{ mulf 1000 1000 }} {{ divf 1 100000 }} {{ addf 0.1 0.2 }} {{ divf 1 3 }}',
      '1e+06 1e-05 0.3 0.3333333333333333',
    ],
    ['{{ printf "%d %v %f" 42 42 2.5 }}', '42 42 2.500000'],
    ['{{ printf "%.1f %.2f %v" 1.25 3.14159 2.0 }}', '1.2 3.14 2'],
    ['{{ printf "%s|%q|%t|%v%%" .app .app true true }}', 'shop|"shop"|true|true%'],
    [
      '{{ printf "%d" .n }} {{ printf "%s" }} {{ printf "x" 1 }}',
      '%!d(string=12) %!s(MISSING) x%!(EXTRA int=1)',
    ],
    ['{{ int "0o" }} {{ add 1 "0x" }} {{ int "0o17" }} {{ int "017" }} {{ int "0" }}', '0 1 15 15 0'],
  ])('numbers: %s', (template, text) => {
    expect(render(template)).toBe(text);
  });

  it.each([
    ['{{ div 1 0 }}', 'error calling div: integer divide by zero'],
    ['{{ divf 1 0 }}', 'decimal division by 0'],
    ['{{ substr 9 10 .app }}', 'slice bounds out of range'],
    ['{{ lower 1 }}', 'wrong type for value; expected string; got int'],
    ['{{ lower }}', 'wrong number of args for lower: want 1 got 0'],
    ['{{ .app.name }}', 'no field name in string'],
    ['{{ eq 1 "1" }}', 'incompatible types for comparison'],
    ['{{ duration .app }}', 'is no duration'],
    ['{{ regexReplaceAll "(" .app "" }}', 'missing closing )'],
  ])('fails on a line: %s', (template, message) => {
    expect(() => render(template)).toThrow(message);
  });

  it('does not take too long on a line', () => {
    const line = 'x'.repeat(1 << 19);
    expect(render('{{ lower __line__ }}', line)).toHaveLength(1 << 19);
    expect(() => render('{{ $x := lower __line__ }}'.repeat(5), line)).toThrow('too much on one line');
  });

  it.each([
    ['{{ toDate "2006" .n }}', /^template: function "toDate" not defined: there are and or not eq /],
    [
      '{{ printf "%5d" 1 }}',
      /^template: printf: %5d is not supported: there are %s %v %q %d %t %f %\.2f %%$/,
    ],
    ['{{ printf "%.2s" .n }}', /^template: printf: %\.2s is not supported/],
    ['{{ range .n }}{{ end }}', /^template: `\{\{range\}\}` is not supported$/],
  ])('is refused in one line: %s', (template, message) => {
    expect(() => render(template)).toThrow(message);
  });

  it('fails on a line whose format is not supported', () => {
    expect(() => render('{{ printf __line__ 1 }}', '%5d')).toThrow('printf: %5d is not supported');
  });
});

it('a template makes a line of a million characters at most', () => {
  const line = 'x'.repeat(700_000);
  expect(render('{{ __line__ }}', line)).toHaveLength(700_000);
  expect(render('{{ __line__ }}{{ __line__ }}', line)).toHaveLength(1 << 20);
});
