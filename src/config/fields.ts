// Fields of a configuration as the user wrote it, before it is validated.

/** Returns an own field or element of a section; undefined if absent. */
export function ownField(section: unknown, key: string): unknown {
  const fields = Object(section);
  return Object.hasOwn(fields, key) ? Reflect.get(fields, key) : undefined;
}

/** Tells whether a part of a configuration, as the user wrote it, is a mapping. */
export function isMapping(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns a configuration, as the user wrote it, with other fields in a section. */
export function withFields(value: unknown, section: string, fields: object): object {
  return { ...(value as object), [section]: { ...(fieldOf(value, section) as object), ...fields } };
}

/** Returns a field of a configuration as the user wrote it; undefined if absent, or if `value` is not a mapping. */
export function fieldOf(value: unknown, key: string): unknown {
  return isMapping(value) ? ownField(value, key) : undefined;
}
