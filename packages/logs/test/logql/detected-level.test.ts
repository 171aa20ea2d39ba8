import { describe, expect, it } from 'vitest';
import { detectLevel } from '../../src/logql/detected-level.js';
import { LogEngine } from '../../src/logql/log-engine.js';
import { splitLabels, take } from '../../src/logql/log-entries.js';
import { parseLogQuery } from '../../src/logql/parse.js';
import { formatPushedLine } from '../../src/store/pushed-line.js';
import { evaluate, gridOf, logLine, rangeOf, select, T0, TestRuns } from '../support.js';

it.each([
  ['{"level":"ERROR","msg":"info"}', 'error'],
  ['{"level":40,"msg":"x"}', 'warn'],
  ['{"a":{"severity":"critical"}}', 'critical'],
  ['{"level":"odd","msg":"debug mode"}', 'debug'],
  ['ts=1 level=warning msg="an error"', 'warn'],
  ['lvl="DBG" x', 'debug'],
  ['[INFO] started', 'info'],
  ['fatal: not a repository', 'fatal'],
  ['2024 Error: 3 warnings', 'error'],
  ['terrors and warnings', 'unknown'],
  ['', 'unknown'],
])('the level of %s is %s', (line, level) => {
  expect(detectLevel(line)).toBe(level);
});

describe('the label detected_level', () => {
  /** Lines of the logger, a foreign one, and pushed ones with and without a level of their own. */
  function engine(): LogEngine {
    const runs = new TestRuns();
    runs.write('node-0', [
      logLine({ level: 'error' }),
      logLine({ atMs: 1, msg: 'error?' }),
      'ERROR of a library',
    ]);
    const push = (line: string, labels: object) =>
      formatPushedLine({ ns: `${T0}000000`, labels: { run: 'r1', source: 'probe', ...labels }, line });
    runs.write('pushed', [
      push('an error', {}),
      push('fine', {}),
      push('an error', { level: 'Information' }),
    ]);
    return new LogEngine(runs.catalog);
  }

  it('is that of the stream, or else of the line', async () => {
    const query = 'sum by (source, level, detected_level) (count_over_time({run="r1"}[1m]))';
    const expected = {
      'detected_level=error,level=error,source=node': [1],
      'detected_level=info,level=info,source=node': [1],
      // A line that is no record has the level warn.
      'detected_level=warn,level=warn,source=node': [1],
      'detected_level=error,source=probe': [1],
      'detected_level=unknown,source=probe': [1],
      'detected_level=info,level=Information,source=probe': [1],
    };
    expect(await evaluate(engine(), query, gridOf(30, 1, 1))).toEqual(expected);
    // The same without the index.
    const filtered = query.replace('"}[1m]', '"} != "nothing" [1m]');
    expect(await evaluate(engine(), filtered, gridOf(30, 1, 1))).toEqual(expected);
  });

  it('is filtered and dropped like others, but selects no stream', async () => {
    expect(await select(engine(), '{source="probe"} | detected_level="error"')).toEqual(['an error']);
    expect(await select(engine(), '{run="r1", detected_level="error"}')).toEqual([]);
    const query = 'count_over_time({source="probe"} | drop detected_level [1m])';
    expect(Object.values(await evaluate(engine(), query, gridOf(30, 1, 1))).sort()).toEqual([[1], [2]]);
  });

  it('is structured metadata, beside the labels of the stream and of the pipeline', async () => {
    const query = parseLogQuery('{source="node"} | json | label_format level="x", other=node | drop run');
    const [entry] = await take(engine().lines(query, rangeOf(0, 1), 'forward'), 1);
    const { stream, structuredMetadata, parsed } = splitLabels(entry);
    expect([...stream.keys()]).toEqual(['source', 'generation', 'service_name']);
    expect([...structuredMetadata]).toEqual([['detected_level', 'error']]);
    expect(parsed.get('level')).toBe('x');
    expect(parsed.get('other')).toBe('0');
    expect(parsed.get('level_extracted')).toBe('error');
  });
});
