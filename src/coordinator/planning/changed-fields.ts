/** Lists `field old -> new` for each field that differs between two configurations. */
export function changedFields(before: object, after: object, place = ''): string[] {
  const fields = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...fields].flatMap((field) => {
    const [old, now] = [before, after].map((each) => Object(each)[field]);
    if (isSection(old) && isSection(now)) return changedFields(old, now, `${place}${field}.`);
    const [oldText, nowText] = [old, now].map((value) => JSON.stringify(value));
    return oldText === nowText ? [] : [`${place}${field} ${oldText} -> ${nowText}`];
  });
}

function isSection(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
