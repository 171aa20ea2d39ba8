import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ns, TestLoki } from '../../packages/logs/test/loki/server.js';
import { logLine } from '../../packages/logs/test/support.js';
import { dashboardQueries, dashboards } from './dashboards.js';

const SOURCES = new URL(
  '../../deploy/observability/grafana/provisioning/datasources/sources.yaml',
  import.meta.url,
);

describe('the dashboards', () => {
  it('have names of their own, and panels that do not lie on each other', () => {
    const all = dashboards();
    expect(all.map(({ uid }) => uid)).toEqual([
      'locmoe-communication',
      'locmoe-experts',
      'locmoe-logs',
      'locmoe-overview',
    ]);
    for (const { title, panels } of all) {
      expect(new Set(panels.map(({ id }) => id)).size, title).toBe(panels.length);
      const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
        Array.from({ length: w * h }, (_, i) => `${x + (i % w)}/${y + Math.floor(i / w)}`),
      );
      expect(new Set(cells).size, title).toBe(cells.length);
      for (const panel of panels) {
        expect(panel.gridPos.x + panel.gridPos.w, panel.title).toBeLessThanOrEqual(24);
        expect(panel.targets.length, panel.title).toBeGreaterThan(0);
      }
    }
  });

  it('ask data sources that are provisioned, by variables that they define', () => {
    const { datasources } = parse(readFileSync(SOURCES, 'utf8'));
    const known = datasources.map(({ type, uid }: Record<string, string>) => `${type} ${uid}`);
    for (const { title, panels, templating } of dashboards()) {
      const variables = templating.list.map(({ name }) => name);
      for (const { expr, datasource } of panels.flatMap((panel) => panel.targets)) {
        const { type, uid } = datasource;
        if (uid === '$logs') expect(type).toBe('loki');
        else expect(known).toContain(`${type} ${uid}`);
        const used = [...`${expr} ${uid}`.matchAll(/\$\{?(\w+)/g)].map(([, name]) => name);
        for (const name of used.filter((each) => !each.startsWith('__')))
          expect(variables, `${title}: ${expr}`).toContain(name);
      }
    }
  });

  it('ask logs in LogQL that is answered', async () => {
    const loki = await TestLoki.start();
    loki.runs.write('node-0', [
      logLine({ node: 0, rank: 0 }),
      logLine({ node: 0, rank: 1, atMs: 2000, level: 'error' }),
    ]);
    const queries = dashboardQueries('loki');
    expect(queries.length).toBeGreaterThanOrEqual(4);
    for (const { where, expr } of queries) {
      expect(expr, where).not.toContain('$');
      const { data } = await loki.get('query_range', {
        query: expr,
        start: ns(0),
        end: ns(10_000),
        step: '5',
      });
      expect(data.result.length, `${where}: ${expr}`).toBeGreaterThan(0);
    }
  });
});
