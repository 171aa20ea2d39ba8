import { describe, expect, it } from 'vitest';
import { LogEngine } from '../../src/logql/log-engine.js';
import { splitLabels, take } from '../../src/logql/log-entries.js';
import { parseLogQuery } from '../../src/logql/parse.js';
import { evaluate, gridOf, logLine, rangeOf, select, TestRuns } from '../support.js';

describe('the label detected_level', () => {
  /** Lines of the logger and a foreign one. */
  function engine(): LogEngine {
    const runs = new TestRuns();
    runs.write('node-0', [
      logLine({ level: 'error' }),
      logLine({ atMs: 1, msg: 'error?' }),
      'ERROR of a library',
    ]);
    return new LogEngine(runs.catalog);
  }

  it('is the level of the stream', async () => {
    const query = 'sum by (source, level, detected_level) (count_over_time({run="r1"}[1m]))';
    const expected = {
      'detected_level=error,level=error,source=node': [1],
      'detected_level=info,level=info,source=node': [1],
      // A line that is no record has the level warn.
      'detected_level=warn,level=warn,source=node': [1],
    };
    expect(await evaluate(engine(), query, gridOf(30, 1, 1))).toEqual(expected);
    // The same without the index.
    const filtered = query.replace('"}[1m]', '"} != "nothing" [1m]');
    expect(await evaluate(engine(), filtered, gridOf(30, 1, 1))).toEqual(expected);
  });

  it('is filtered and dropped like others, but selects no stream', async () => {
    expect(await select(engine(), '{source="node"} | detected_level="warn"')).toEqual(['ERROR of a library']);
    expect(await select(engine(), '{run="r1", detected_level="error"}')).toEqual([]);
    const query = 'count_over_time({level="warn"} | drop detected_level [1m])';
    const [labels] = Object.keys(await evaluate(engine(), query, gridOf(30, 1, 1)));
    expect(labels).not.toContain('detected_level');
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
