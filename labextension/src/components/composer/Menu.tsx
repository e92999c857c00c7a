/** The menu above the text: a listbox that the textarea points into. */
import { lockIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { IStatus } from '../../wire/types';
import { lockOfKind, lockWords } from '../locks';
import { visible } from '../markdown/safe';
import type { IMenu, MenuRow } from './rows';
import { KIND_ICONS, kindName } from './Pills';

export interface IMenuProps {
  trans: TranslationBundle;
  id: string;
  menu: IMenu;
  kind: 'mention' | 'command';
  status: IStatus | null;
  pick(row: MenuRow): void;
}

export function optionId(menu: string, index: number): string {
  return `${menu}-${index}`;
}

export function Menu(props: IMenuProps): JSX.Element {
  const { trans, id, menu, kind } = props;
  const label =
    kind === 'mention' ? trans.__('Add context') : trans.__('Commands');
  const search =
    kind === 'mention' ? lockWords(trans, props.status, 'search') : null;
  return (
    <div className="jp-Cellar-menu">
      <ul role="listbox" id={id} aria-label={label}>
        {menu.rows.map((row, index) => (
          <Option key={row.key} {...props} row={row} index={index} />
        ))}
      </ul>
      {menu.note === null ? null : (
        <p className="jp-Cellar-menuNote" role="status">
          {menu.note}
        </p>
      )}
      {menu.rows.length === 0 && menu.note === null ? (
        <p className="jp-Cellar-menuNote">
          {menu.searching ? trans.__('Searching…') : trans.__('Nothing found')}
        </p>
      ) : null}
      {search === null ? null : (
        <p className="jp-Cellar-menuNote jp-mod-locked">
          <lockIcon.react tag="span" className="jp-Cellar-pillIcon" />
          {trans.__('Workspace search: %1', search)}
        </p>
      )}
      <div className="jp-Cellar-srOnly" role="status">
        {trans._n('%1 suggestion', '%1 suggestions', menu.rows.length)}
      </div>
    </div>
  );
}

function Option(
  props: IMenuProps & { row: MenuRow; index: number }
): JSX.Element {
  const { trans, id, menu, row, index, pick } = props;
  const active = index === menu.active;
  const lock =
    row.kind === 'mention'
      ? lockOfKind(trans, props.status, row.item.kind)
      : null;
  const element = React.useRef<HTMLLIElement>(null);
  React.useEffect(() => {
    if (active) {
      element.current?.scrollIntoView({ block: 'nearest' });
    }
  }, [active]);
  return (
    <li
      ref={element}
      id={optionId(id, index)}
      role="option"
      aria-selected={active}
      aria-disabled={lock !== null || undefined}
      className="jp-Cellar-option"
      title={lock ?? row.detail}
      onMouseMove={() => menu.point(index)}
      // The press, not the click: the textarea keeps the focus.
      onMouseDown={event => {
        event.preventDefault();
        pick(row);
      }}
    >
      {row.kind === 'mention' ? (
        <MentionRow trans={trans} row={row} lock={lock} />
      ) : (
        <>
          <code>/{row.name}</code>
          <small>{row.detail}</small>
        </>
      )}
    </li>
  );
}

function MentionRow(props: {
  trans: TranslationBundle;
  row: MenuRow & { kind: 'mention' };
  lock: string | null;
}): JSX.Element {
  const { trans, row, lock } = props;
  const Icon = KIND_ICONS[row.item.kind];
  // The name stands before it already.
  const end = `/${row.item.label}`;
  const place = row.detail.endsWith(end)
    ? row.detail.slice(0, -end.length)
    : row.detail;
  return (
    <>
      <Icon.react tag="span" className="jp-Cellar-pillIcon" />
      <span className="jp-Cellar-optionLabel">{visible(row.item.label)}</span>
      {lock === null ? null : (
        <lockIcon.react tag="span" className="jp-Cellar-pillIcon" />
      )}
      <small>{lock ?? (place || kindName(trans, row.item.kind))}</small>
    </>
  );
}
