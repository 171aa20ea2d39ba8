export const TEST_IMAGE: string;
export function buildTestImage(log: (line: string) => void): Promise<void>;
