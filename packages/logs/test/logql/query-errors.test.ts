import { describe, expect, it } from 'vitest';
import { parseLogQuery, parseQuery } from '../../src/logql/parse.js';

const S = '{a="b"}';

describe('an invalid query', () => {
  it.each([
    ['{a="b"', 'parse error at line 1, col 7: syntax error: unexpected end of the query, expecting }'],
    ['{a="b"}\n| |', 'parse error at line 2, col 3: syntax error: unexpected |'],
    ['', 'the query is empty'],
    ['{}', 'at least one regexp or equality matcher'],
    ['{a=~".*"}', 'at least one regexp or equality matcher'],
    ['{a!="b"}', 'at least one regexp or equality matcher'],
    ['{a=~"("}', 'missing closing ): `(`'],
    [`${S} |~ "(a"`, 'missing closing ): `(a`'],
    [`${S} |= "${'x'.repeat(10_000)}"`, 'has 10013 characters, more than the 5000'],
    [`${S} |= "no end`, 'col 12: syntax error: a string without its end'],
    [`${S} |~ "\\d"`, 'invalid escape in "\\d"'],
    [`${S} §`, 'unexpected §'],
    [`${S} | distinct a`, 'col 11: `distinct` is not supported'],
    [`${S} | unwrap a`, '`unwrap` goes with a range aggregation'],
    [`${S} | json x="a["`, 'col 16: cannot parse expression [a[]'],
    [`${S} | json x="a..b"`, 'cannot parse expression'],
    [`${S} | logfmt x="a b"`, 'cannot parse expression'],
    [`${S} | regexp "("`, 'missing closing )'],
    [`${S} | regexp "(a)"`, 'at least one named capture must be supplied'],
    [`${S} | pattern "a"`, 'at least one capture is required'],
    [`${S} | pattern "<_>"`, 'at least one capture is required'],
    [`${S} | pattern "<a><b>"`, 'consecutive captures are not allowed'],
    [`${S} | pattern "<a> <a>"`, 'duplicate capture name <a>'],
    [`${S} |> "<a> x"`, 'named captures are not allowed'],
    [`${S} |> "<_><_>"`, 'consecutive captures'],
    [`${S} |~ ip("10.0.0.1")`, 'ip: invalid operation'],
    [`${S} |= ip("10.0.0.300")`, 'ip: invalid pattern "10.0.0.300"'],
    [`${S} | x = ip("10.0.0.0/33")`, 'ip: invalid pattern'],
    [`${S} | x = ip("10.0.0.9-10.0.0.1")`, 'ip: invalid pattern'],
    [`${S} | x > ip("10.0.0.1")`, 'unexpected ip'],
    [`${S} | x == "1"`, 'unexpected ==, expecting = or != or =~ or !~'],
    [`${S} | x > 0x10`, '0x10 is not a number'],
    [`${S} | x > 1mb`, 'unexpected'],
    [`${S} | label_format a=b, a="c"`, 'a is set twice'],
    [`${S} | label_format __error__="x"`, '__error__ cannot be formatted'],
    [`${S} | line_format "{{"`, 'template: unclosed action'],
    [`${S} | line_format "{{ nothing .a }}"`, 'col 23: template: function "nothing" not defined'],
    [`${S} | line_format "{{if .a}}x"`, 'missing {{end}}'],
    [`${S} | line_format "x{{end}}"`, 'unexpected {{end}}'],
    [`${S} | line_format "{{ $x }}"`, 'undefined variable "$x"'],
    [`${S} | line_format "{{ $x = 1 }}"`, 'undefined variable "$x"'],
    [`${S} | line_format "{{ trunc ${'9'.repeat(400)} .a }}"`, '99" not defined'],
    [`${S} | line_format "{{ template .a }}"`, '`{{template}}` is not supported'],
    [`${S} | line_format "{{ break }}"`, '`{{break}}` is not supported'],
    [`sum(rate(${S}[1m]))`, 'a query that selects lines is needed'],
  ])('%s', (query, message) => {
    expect(() => parseLogQuery(query)).toThrow(message);
  });

  it.each([
    ['rate({a="b"})', 'unexpected ), expecting a range such as [5m]'],
    [`rate(${S}[5x])`, '[5x] is not a duration'],
    [`count_over_time(${S} | unwrap x [1s])`, 'invalid aggregation count_over_time with unwrap'],
    [`rate_counter(${S}[1s])`, 'invalid aggregation rate_counter without unwrap'],
    [`sum_over_time(${S}[1s])`, 'invalid aggregation sum_over_time without unwrap'],
    [`sum_over_time(${S} | unwrap x [1s]) by (a)`, 'grouping not allowed for sum_over_time aggregation'],
    [`count_over_time(${S}[1s]) by (x)`, 'grouping not allowed'],
    [`rate(0.5, ${S}[1s])`, 'rate takes no number'],
    [`quantile_over_time(${S} | unwrap x [1s])`, 'quantile_over_time needs a number first'],
    [`quantile_over_time(-1, ${S} | unwrap x [1s])`, 'unexpected -'],
    [`rate(${S} | unwrap seconds(x) [1s])`, '`seconds` is not supported'],
    [`rate(${S} | unwrap x | json [1s])`, 'unexpected [1s]'],
    [`topk(sum(rate(${S}[1s])))`, 'topk needs a number first'],
    [`topk(1.5, rate(${S}[1s]))`, 'col 6: invalid parameter 1.5: topk needs a whole number above 0'],
    [`sort(rate(${S}[1s])) by (a)`, 'sort takes no grouping'],
    [`approx_topk(2, rate(${S}[1s]))`, 'col 1: `approx_topk` is not supported'],
    [`variants(rate(${S}[1s])) of (${S}[1s])`, '`variants` is not supported'],
    [`nothing(${S}[1s])`, 'unexpected nothing'],
    [`${S} + 1`, 'an operand must be a number or a metric'],
    [`1 + ${S}`, 'an operand must be a number or a metric'],
    ['1 and vector(1)', '`and` needs vectors on both sides'],
    ['vector(1) bool > 1', 'unexpected bool'],
    ['vector(1) + bool 1', 'unexpected bool'],
    ['vector(1) and on (a) group_left vector(1)', '`group_left` does not go with `and`'],
    ['0x1A', '0x1A is not a number'],
    ['0b1', '0b1 is not a number'],
    [`-rate(${S}[1s])`, 'unexpected rate, expecting a number'],
    [`label_replace(rate(${S}[1s]), "a", "b", "c", "(")`, 'missing closing )'],
    [`label_replace(rate(${S}[1s]), "a", "b", "c")`, 'unexpected ), expecting ,'],
    [`${'('.repeat(300)}1`, 'nested too deeply'],
  ])('%s', (query, message) => {
    expect(() => parseQuery(query)).toThrow(message);
  });
});

it.each([
  [`${S} # a comment | nothing\n |= "#"`],
  [`(${S} | json)`],
  [`count_over_time((${S} |= "x")[1m])`],
  [`count_over_time(${S}[1m] |= "x")`],
  [`count_over_time(${S}[1m] offset 5m |= "x")`],
  [`rate((${S} | unwrap x)[1d])`],
  [`${S} | json | took > 1d, size <= 1.5GiB and n != -1e3 or (a = "b" c = "d")`],
])('%s can be', (query) => {
  expect(() => parseQuery(query)).not.toThrow();
});
