// Parts of a list: labels over ranges of indexes, in order.

export interface Section {
  label: string;
  first: number;
  count: number;
}

/** The part in which an index lies, or undefined when there are none. */
export function sectionAt(sections: readonly Section[], index: number): Section | undefined {
  let low = 0;
  let high = sections.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sections[middle]!.first <= index) low = middle + 1;
    else high = middle;
  }
  return sections[low - 1];
}
