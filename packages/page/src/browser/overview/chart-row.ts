/** A strip over x, with its label on the left and a note on the right. */
export interface ChartRow {
  readonly key: string;
  readonly label: string;
  readonly height: number;
  /** Dim text after the label. */
  readonly detail?: string;
  readonly note?: string;
  /** Whether the row caused a failure. */
  readonly isBlamed?: boolean;
  /** Whether the rows below are shown, which the button of a row that groups them toggles. */
  readonly isOpen?: boolean;
}
