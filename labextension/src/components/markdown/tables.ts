/** A table in a frame of its own: what does not fit scrolls there, and each column keeps room for words. */
export function frameTables(host: HTMLElement): void {
  for (const table of Array.from(host.querySelectorAll('table'))) {
    const frame = document.createElement('div');
    frame.className = 'jp-Cellar-table';
    const columns = Math.max(
      ...Array.from(table.rows, row => row.cells.length)
    );
    frame.style.setProperty('--jp-Cellar-columns', String(columns));
    table.replaceWith(frame);
    frame.append(table);
  }
}
