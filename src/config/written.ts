/** Whether a part of a written configuration is a mapping. */
export function isMapping(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field of a written configuration; undefined if it is not there, or there is no mapping to have it. */
export function fieldOf(value: unknown, key: string): unknown {
  return isMapping(value) && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;
}
