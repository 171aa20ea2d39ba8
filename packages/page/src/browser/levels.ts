/** Grafana's levels. */
export const LEVELS = ['critical', 'error', 'warning', 'info', 'debug', 'trace', 'unknown'] as const;
export type Level = (typeof LEVELS)[number];

const NAMES: Readonly<Record<string, Level>> = {
  emerg: 'critical',
  fatal: 'critical',
  alert: 'critical',
  crit: 'critical',
  critical: 'critical',
  err: 'error',
  eror: 'error',
  error: 'error',
  warn: 'warning',
  warning: 'warning',
  info: 'info',
  information: 'info',
  informational: 'info',
  notice: 'info',
  dbug: 'debug',
  debug: 'debug',
  trace: 'trace',
};

/** Maps the value of a `level` label. */
export function levelOf(name: string | undefined): Level {
  return NAMES[(name ?? '').toLowerCase()] ?? 'unknown';
}

/** The custom property of theme.css with the level's colour. */
export function levelVariable(level: Level): string {
  return `--level-${level}`;
}
