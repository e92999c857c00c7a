/** Save a conversation as a file of the user's computer. */
import { downloadIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { ExportFormat } from '../../api';
import type { ChatStore } from '../../chat/store';
import { useDismiss } from '../composer/useDismiss';
import { lockWords } from '../locks';
import { IconButton } from '../buttons';
import { fileName } from './words';

const FORMATS: readonly ExportFormat[] = ['md', 'ipynb', 'json'];

function formatName(trans: TranslationBundle, format: ExportFormat): string {
  switch (format) {
    case 'md':
      return trans.__('Markdown (.md)');
    case 'ipynb':
      return trans.__('Notebook (.ipynb)');
    case 'json':
      return trans.__('Everything, for programs (.json)');
  }
}

async function save(
  store: ChatStore,
  id: string,
  title: string,
  format: ExportFormat
): Promise<void> {
  try {
    const blob = await store.exportConversation(id, format);
    const url = URL.createObjectURL(blob);
    const link = document.createElement('a');
    link.href = url;
    link.download = fileName(title, format);
    link.click();
    // The download holds the blob from here on; give it time to begin.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    store.notify(error);
  }
}

export function Export(props: {
  trans: TranslationBundle;
  store: ChatStore;
  id: string;
  title: string;
}): JSX.Element {
  const { trans, store, id, title } = props;
  const [open, setOpen] = React.useState(false);
  const root = React.useRef<HTMLSpanElement>(null);
  const button = React.useRef<HTMLButtonElement>(null);
  const close = React.useCallback(() => setOpen(false), []);
  useDismiss(root, open, close);
  return (
    <span className="jp-Cellar-export" ref={root}>
      <IconButton
        ref={button}
        icon={downloadIcon}
        label={trans.__('Export %1', title)}
        lock={lockWords(trans, store.getState().status, 'export')}
        expanded={open}
        act={() => setOpen(!open)}
      />
      {open ? (
        <Formats
          trans={trans}
          pick={format => {
            close();
            button.current?.focus();
            void save(store, id, title, format);
          }}
        />
      ) : null}
    </span>
  );
}

function Formats(props: {
  trans: TranslationBundle;
  pick(format: ExportFormat): void;
}): JSX.Element {
  const list = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    list.current?.querySelector('button')?.focus();
  }, []);
  const move = (event: React.KeyboardEvent): void => {
    const step =
      event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step !== 0) {
      event.preventDefault();
      const buttons = [...(list.current?.querySelectorAll('button') ?? [])];
      const at = buttons.findIndex(each => each === document.activeElement);
      buttons[(at + step + buttons.length) % buttons.length]?.focus();
    }
  };
  return (
    <div className="jp-Cellar-popup" role="menu" ref={list} onKeyDown={move}>
      {FORMATS.map(format => (
        <button
          key={format}
          type="button"
          role="menuitem"
          onClick={event => {
            event.stopPropagation();
            props.pick(format);
          }}
        >
          {formatName(props.trans, format)}
        </button>
      ))}
    </div>
  );
}
