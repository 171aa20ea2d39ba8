import { expect, it } from 'vitest';
import { type PatternUse, patternUse, withPattern } from '../src/browser/logs/pattern-edit.js';

it('takes patterns into a query, out of it, and away again', () => {
  let query = '{run="a|>b"} |= "x" | json';
  const change = (pattern: string, use: PatternUse | null) => {
    query = withPattern(query, pattern, use);
    return query;
  };
  expect(change('step <_>', 'include')).toBe('{run="a|>b"} |> `step <_>` |= "x" | json');
  expect(change('say "<_>"', 'include')).toBe('{run="a|>b"} |> `say "<_>"` or `step <_>` |= "x" | json');
  expect(change('lost <_>', 'exclude')).toBe(
    '{run="a|>b"} !> `lost <_>` |> `say "<_>"` or `step <_>` |= "x" | json',
  );
  expect(['step <_>', 'lost <_>', 'x'].map((each) => patternUse(query, each))).toEqual([
    'include',
    'exclude',
    null,
  ]);
  expect(change('step <_>', 'exclude')).toBe(
    '{run="a|>b"} !> `step <_>` !> `lost <_>` |> `say "<_>"` |= "x" | json',
  );
  for (const pattern of ['step <_>', 'lost <_>', 'say "<_>"']) change(pattern, null);
  expect(query).toBe('{run="a|>b"} |= "x" | json');
  // A backtick has no escape in a raw string.
  expect(withPattern('{a="b"}', '`<_>` "c"', 'include')).toBe('{a="b"} |> "`<_>` \\"c\\""');
  expect(patternUse('{a="b"} |> "`<_>` \\"c\\""', '`<_>` "c"')).toBe('include');
  expect(withPattern('no selector', 'x', 'include')).toBe('no selector');
});
