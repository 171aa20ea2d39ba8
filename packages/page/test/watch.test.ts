import { describe, expect, it } from 'vitest';
import { agreement } from '../src/browser/watch/agreement.js';
import { parseRoutes } from '../src/browser/watch/parse-routes.js';

describe("others' routes", () => {
  it('are a table of step, token, layer and expert, in any order of columns and rows', () => {
    const csv = 'layer,step,expert,token\r\n1,8,2,1\r\n1,8,0,0\r\n1,0,1,0\r\n1,8,3,0\r\n1,0,0,1\r\n';
    expect(parseRoutes(csv, 'a.csv')).toEqual({
      name: 'a.csv',
      numExperts: 4,
      expertsOfDomain: {},
      layers: [1],
      steps: [0, 8],
      texts: [{ domain: 'text', ids: [0, 1], text: null }],
      experts: [['1 0'], ['0,3 2']],
    });
  });

  it('may have texts, sequences, positions and outcomes, as `routes record --csv` has', () => {
    const csv = `\uFEFFstep,sequence,domain,position,token,layer,expert,outcome,text,other
1,0,en,0,7,2,0,kept,"a, ""b""
c",x
1,0,en,1,7,2,1,not chosen, d,x
1,3,zh,0,9,2,1,kept,,x
`;
    expect(parseRoutes(csv, 'b.csv')).toMatchObject({
      texts: [
        { domain: 'en', ids: [7, 7], text: ['a, "b"\nc', ' d'] },
        { domain: 'zh', ids: [9], text: [''] },
      ],
      experts: [['0  1']],
    });
  });

  it.each([
    ['', /^x\.csv: has no routes; it needs the columns step, token, layer, expert$/],
    ['step,token,layer,expert\n', /^x\.csv: has no routes/],
    [
      'step,token,expert\n1,1,1',
      /^x\.csv, line 1: has no column layer; it needs step, token, layer, expert$/,
    ],
    [
      'step,token,layer,expert\n1,1,1,1\n\n1,1,1,x\n',
      /^x\.csv, line 4: expert is "x"; give a whole number from 0$/,
    ],
    ['step,token,layer,expert\n0,1,0,3000000', /^x\.csv, line 2: expert is 3000000; 9999 is the highest$/],
    ['step,token,layer,expert\n1,1,1\n', /^x\.csv, line 2: has 3 cells, and the first line 4$/],
    [
      'step,text,token,layer,expert\n1,"a\nb",1,1,1\n1,"a"b,1,1,1\n',
      /^x\.csv, line 4: a quotation mark is out of place$/,
    ],
    [
      'step,position,token,layer,expert\n1,0,5,1,1\n2,0,6,1,1\n',
      /^x\.csv, line 3: token is 6, and 5 at an earlier line of the same place$/,
    ],
    ['PAR1\u0015', /^x\.csv: is Parquet; make it CSV: duckdb -c "COPY 'x\.csv' TO 'routes\.csv'"$/],
  ])('that cannot be used are refused in one line with its number: %j', (csv, message) => {
    expect(() => parseRoutes(csv, 'x.csv')).toThrow(message);
  });
});

it('choices agree by their share, over tokens with several experts or none', () => {
  const experts = [[['0', '1,2', '', '3']], [['0', '2,4', '', '']]];
  expect(agreement(experts, 0, 0, [0])).toBe(1);
  // Two of the four choices are equal: the first token's, and one of the second token's.
  expect(agreement(experts, 0, 1, [0])).toBe(0.5);
});
