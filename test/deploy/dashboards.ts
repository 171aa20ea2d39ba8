import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../../deploy/observability/grafana/dashboards', import.meta.url));

interface DataSource {
  readonly type: string;
  readonly uid: string;
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly datasource: DataSource;
  }[];
}

export interface Variable {
  readonly name: string;
  readonly type: string;
  readonly definition?: string;
}

export interface Dashboard {
  readonly file: string;
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
}

export function dashboards(): Dashboard[] {
  return readdirSync(FOLDER)
    .sort()
    .map((file) => ({ file, ...JSON.parse(readFileSync(path.join(FOLDER, file), 'utf8')) }));
}

/** A query as Grafana sends it with all runs, layers and levels selected. */
export interface DashboardQuery {
  /** Names of the dashboard and the panel. */
  readonly where: string;
  readonly expr: string;
}

/** Values that replace Grafana's variables. */
const SUBSTITUTES: readonly (readonly [RegExp, string])[] = [
  [/\$__rate_interval/g, '20s'],
  [/\$__auto/g, '5m'],
  [/\$(run|layer|level)\b/g, '.+'],
  [/\$search\b/g, ''],
];

/** Returns all queries of the dashboards for one kind of data source. */
export function dashboardQueries(type: 'prometheus' | 'loki'): DashboardQuery[] {
  return dashboards().flatMap(({ title, panels }) =>
    panels.flatMap((panel) =>
      panel.targets
        .filter(({ datasource }) => datasource.type === type)
        .map(({ expr, refId }) => ({
          where: `${title} / ${panel.title} / ${refId}`,
          expr: SUBSTITUTES.reduce((text, [name, value]) => text.replace(name, value), expr),
        })),
    ),
  );
}
