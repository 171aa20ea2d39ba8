const MOST_CHARACTERS = 200;

/** Lists `field old -> new` for each field that differs between two configurations. */
export function changedFields(before: object, after: object, place = ''): string[] {
  const fields = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...fields].flatMap((field) => {
    const [old, now] = [before, after].map((each) => Object(each)[field]);
    if (isSection(old) && isSection(now)) return changedFields(old, now, `${place}${field}.`);
    const [oldText, nowText] = [old, now].map((value) => JSON.stringify(value));
    return oldText === nowText ? [] : [`${place}${field} ${shown(oldText)} -> ${shown(nowText)}`];
  });
}

/** Cuts long values: a placement of experts may have thousands of numbers. */
function shown(text = 'undefined'): string {
  return text.length <= MOST_CHARACTERS ? text : `${text.slice(0, MOST_CHARACTERS)}...`;
}

function isSection(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
