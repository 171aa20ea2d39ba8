import { describe, expect, it } from 'vitest';
import { RegexGroup } from '../../src/logql/regex.js';
import { TemplateRunner } from '../../src/logql/template/evaluate.js';
import { parseTemplate } from '../../src/logql/template/parse.js';

const LABELS = new Map([
  ['app', 'shop'],
  ['path', '/api/v1/orders'],
  ['took', '1m30s'],
  ['n', '12'],
  ['json', '{"user":{"name":"Ada"},"tags":["a","b"],"n":1.5,"none":null}'],
  ['empty', ''],
]);

function render(template: string): string {
  const parsed = parseTemplate(template, (message) => new Error(message));
  return new TemplateRunner(parsed, new RegexGroup()).run({
    labels: LABELS,
    text: 'the line',
    at: { timeMs: Date.UTC(2024, 1, 3, 4, 5, 6, 700), nanos: 8_900 },
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
    ['{{ range $i, $e := (fromJson .json).tags }}{{ if $i }},{{ end }}{{ $i }}{{ $e }}{{ end }}', '0a,1b'],
    ['{{ range fromJson `["a","b","c"]` }}{{ if eq . "b" }}{{ break }}{{ end }}{{ . }}{{ end }}', 'a'],
    ['{{ range fromJson `["a","b","c"]` }}{{ if eq . "b" }}{{ continue }}{{ end }}{{ . }}{{ end }}', 'ac'],
    ['{{ range fromJson "[]" }}x{{ else }}none{{ end }}', 'none'],
    ['{{ (fromJson .json).user.name }} {{ (fromJson .json).none }}', 'Ada <no value>'],
    ['{{ index (fromJson .json).tags 1 }}{{ len .app }}', 'b4'],
    ['{{ fromJson .app }}', '<no value>'],
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
    ['{{ count "/" .path }} {{ "abab" | count "a|b" }}', '3 4'],
    ['{{ repeat 3 "ab" }} {{ indent 2 "a\\nb" }}|{{ nindent 1 "a" }}', 'ababab   a\n  b|\n a'],
    [
      '[{{ alignLeft 6 .app }}] [{{ alignRight 6 .app }}] [{{ alignLeft 2 .app }}] [{{ alignRight 2 .app }}]',
      '[shop  ] [  shop] [sh] [op]',
    ],
    ['{{ .empty | default "-" }}{{ .app | default "-" }}', '-shop'],
    ['{{ b64enc .app }} {{ b64dec "c2hvcA" }}', 'c2hvcA== shop'],
    ['{{ urlencode "a b&c/ü!" }} {{ urldecode "a+b%26c" }}', 'a+b%26c%2F%C3%BC%21 a b&c'],
    ['{{ bytes "2KB" }} {{ duration .took }} {{ duration_seconds "250ms" }}', '2000 90 0.25'],
    // No double of a thousandth.
    ['{{ duration "21.5ms" }} {{ duration "-1m2.29s" }} {{ duration "35.5ms" }}', '0.0215 -62.29 0.0355'],
    ['{{ ToUpper .app }}{{ TrimPrefix .path "/" }}', 'SHOPapi/v1/orders'],
    ['{{ print 1 "a" true }} {{ print 1 2 "a" }}', '1atrue 1 2a'],
  ])('texts: %s', (template, text) => {
    expect(render(template)).toBe(text);
  });

  it.each([
    ['{{ add 3 2 5 }} {{ sub 5 2 }} {{ mul 5 2 3 }} {{ div 10 3 }} {{ mod 10 3 }}', '10 3 30 3 1'],
    ['{{ add .n 1 }} {{ add "0x10" 1 }} {{ add "1.5" 1 }} {{ div -7 2 }}', '13 17 1 -3'],
    ['{{ addf 3.5 2 5 }} {{ subf 5.5 2 1.5 }} {{ mulf 5.5 2 2.5 }} {{ divf 10 2 4 }}', '10.5 2 27.5 1.25'],
    ['{{ max 1 2 3 }} {{ min 1 2 3 }} {{ maxf 1 2.5 }} {{ minf 1.5 3 }}', '3 1 2.5 1.5'],
    [
      '{{ ceil 123.001 }} {{ floor 123.999 }} {{ round 123.555555 3 }} {{ round 123.88571428571 5 .2 }}',
      '124 123 123.556 123.88572',
    ],
    ['{{ int "3" }} {{ float64 "3.5" }} {{ int 3.9 }} {{ int "3.7" }}', '3 3.5 3 0'],
    [
      '{{ mulf 1000 1000 }} {{ divf 1 100000 }} {{ addf 0.1 0.2 }} {{ divf 1 3 }}',
      '1e+06 1e-05 0.3 0.3333333333333333',
    ],
    ['{{ printf "%d|%5d|%-5d|%05d|%+d|%x" 42 42 42 42 42 255 }}', '42|   42|42   |00042|+42|ff'],
    ['{{ printf "%.1f" 1.25 }}', '1.2'],
    ['{{ printf "%.2f|%8.3f|%e|%g|%v" 3.14159 2.5 1500.0 0.5 2.0 }}', '3.14|   2.500|1.500000e+03|0.5|2'],
    [
      '{{ printf "%s|%10s|%-6s|%.2s|%q|%v%%" .app .app .app .app .app true }}',
      'shop|      shop|shop  |sh|"shop"|true%',
    ],
    [
      '{{ printf "%d" .n }} {{ printf "%s" }} {{ printf "x" 1 }}',
      '%!d(string=12) %!s(MISSING) x%!(EXTRA int=1)',
    ],
    ['{{ int "0o" }} {{ add 1 "0x" }} {{ int "0o17" }} {{ int "017" }} {{ int "0" }}', '0 1 15 15 0'],
    ['{{ printf "%.200g %.0g" 1.5 1.5 }}', '1.5 2'],
  ])('numbers: %s', (template, text) => {
    expect(render(template)).toBe(text);
  });

  it.each([
    [
      '{{ __timestamp__ | unixEpoch }} {{ unixEpochMillis __timestamp__ }} {{ unixEpochNanos __timestamp__ }}',
      '1706933106 1706933106700 1706933106700008900',
    ],
    [
      '{{ toDate "2006-01-02 15:04:05" "2024-02-03 04:05:06" | date "Mon Jan _2 2006 03:04:05.000 PM" }}',
      'Sat Feb  3 2024 04:05:06.000 AM',
    ],
    [
      '{{ toDateInZone "2006-01-02T15:04:05Z07:00" "UTC" "2024-02-03T04:05:06+02:00" | unixEpoch }}',
      '1706925906',
    ],
    ['{{ toDateInZone "02 Jan 06 3PM" "Europe/Berlin" "03 Feb 24 5AM" | unixEpoch }}', '1706932800'],
    ['{{ toDateInZone "2006-01-02" "UTC" "nonsense" | unixEpoch }}', '-62135596800'],
    [
      '{{ unixToTime "1706933106" | unixEpochNanos }} {{ unixToTime "1706933106700" | unixEpochMillis }}',
      '1706933106000000000 1706933106700',
    ],
    ['{{ toDate "2006-01-02" "2024-02-03" | date "2006/1/2 (002)" }}', '2024/2/3 (034)'],
    ['{{ toDateInZone "2006-01-02" "UTC" "2024-02-03" }}', '2024-02-03 00:00:00 +0000 UTC'],
  ])('times: %s', (template, text) => {
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
    ['{{ urldecode "%zz" }}', 'invalid URL escape'],
    ['{{ regexReplaceAll "(" .app "" }}', 'missing closing )'],
    ['{{ range .app }}{{ end }}', 'range cannot iterate over shop'],
    ['{{ repeat 1000000000 .app }}', 'too long'],
    ['{{ date "2006" 9223372036854775807 }}', 'time out of range'],
    ['{{ date "2006" (int "-9223372036854775807") }}', 'time out of range'],
    ['{{ printf "%99999999d" 1 }}', 'a width above'],
  ])('fails on a line: %s', (template, message) => {
    expect(() => render(template)).toThrow(message);
  });

  it.each(['', '{{ now }}', '{{ fromJson $.json }}', '{{ repeat 1000 "x" }}'])(
    'ends loops that would take too long: %s',
    (body) => {
      const loop = `{{ range fromJson "[${'1,'.repeat(200)}1]" }}`;
      const before = process.cpuUsage();
      expect(() => render(loop.repeat(4) + body + '{{ end }}'.repeat(4))).toThrow('too much on one line');
      // All rounds of these loops would take minutes.
      expect(process.cpuUsage(before).user / 1000).toBeLessThan(3_000);
    },
  );
});

it('a template makes a line of a million characters at most', () => {
  const half = '{{ repeat 700000 "x" }}';
  expect(render(half)).toHaveLength(700_000);
  expect(render(half + half)).toHaveLength(1 << 20);
});
