export const BASE_IMAGE: string;
export function makeBaseImage(log: (line: string) => void): string;
