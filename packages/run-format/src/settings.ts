/** A setting of a configuration: its path, and its value as text. */
type Setting = readonly [path: string, value: string];

/** Returns the settings of a configuration in its order, one for each leaf: `train.steps`, `data.domains`. */
export function settingsOf(config: Readonly<Record<string, unknown>> | null, prefix = ''): Setting[] {
  return Object.entries(config ?? {}).flatMap(([name, value]): Setting[] => {
    const path = `${prefix}${name}`;
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return settingsOf(value as Readonly<Record<string, unknown>>, `${path}.`);
    return [[path, Array.isArray(value) ? value.map(textOf).join(', ') || 'none' : textOf(value)]];
  });
}

function textOf(value: unknown): string {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}

export interface ComparedSetting {
  readonly path: string;
  /** Values by run; null where a run has no such setting. */
  readonly values: readonly (string | null)[];
  readonly differs: boolean;
}

/** Returns the settings of runs side by side, in the order of the first run's. */
export function compareSettings(
  configs: readonly (Readonly<Record<string, unknown>> | null)[],
): ComparedSetting[] {
  const ofRuns = configs.map((config) => new Map(settingsOf(config)));
  const paths = new Set(ofRuns.flatMap((settings) => [...settings.keys()]));
  return [...paths].map((path) => {
    const values = ofRuns.map((settings) => settings.get(path) ?? null);
    return { path, values, differs: values.some((value) => value !== values[0]) };
  });
}
