/**
 * Where a question is written. What it is made of stands in files beside this one;
 * here they are put together.
 */
import * as React from 'react';

import { localCommand } from '../../chat/commands';
import type { IComposerState } from '../../chat/composer';
import { isLocked } from '../../chat/features';
import type { KeyAction } from '../../chat/keys';
import { isSpaced, withCommand, withMention } from '../../chat/mentions';
import type { IPreviewState } from '../../chat/preview';
import { chosenModel } from '../modelpicker';
import { Area, MENU_ID } from './Area';
import { Menu, optionId } from './Menu';
import { Notices } from './Notices';
import { Pending } from './Pending';
import { Pills } from './Pills';
import type { IComposerProps } from './props';
import { useMenu, type IMenu, type MenuRow } from './rows';
import { Tools } from './Tools';
import { useAttach, type IAttach } from './useAttach';
import { useDrop } from './useDrop';
import { usePreview } from './usePreview';
import { runLocal, useSend } from './useSend';
import { useText, type IText } from './useText';

export function Composer(props: IComposerProps): JSX.Element {
  const { trans, model, preview, chat, actions } = props;
  const state = React.useSyncExternalStore(model.subscribe, model.getState);
  const seen = React.useSyncExternalStore(preview.subscribe, preview.getState);
  const sending = useSend(props, state);
  const attach = useAttach(props);
  const root = React.useRef<HTMLDivElement>(null);
  const over = useDrop(root, model, attach.files);
  const askPreview = usePreview(root, preview, state, chat);
  const canCompact = chat.questions.length > 0 && !chat.running;
  return (
    <div
      ref={root}
      className={`jp-Cellar-composer ${over ? 'jp-mod-drop' : ''}`}
      data-drop={trans.__('Drop to add it to the question')}
    >
      <Pending
        trans={trans}
        turns={chat.pending}
        edits={chat.edits}
        sending={chat.sending}
        editing={state.editing?.id ?? null}
        edit={sending.edit.begin}
        remove={turn => {
          if (state.editing?.id === turn.id) {
            model.endEdit();
          }
          return actions.removePending(turn);
        }}
        sendNow={turn => actions.sendPending(turn)}
      />
      <Notices
        {...props}
        state={state}
        seen={seen}
        canCompact={canCompact}
        error={sending.error}
        unsent={sending.unsent}
        waits={sending.waits}
        dontWait={sending.dontWait}
        askAnew={sending.askAnew}
        clearError={sending.clearError}
        cancelEdit={sending.edit.cancel}
        sendAgain={() => sending.send(false)}
        doubted={sending.doubted}
        sendAsText={sending.sendAsText}
      />
      <Box
        {...props}
        state={state}
        seen={seen}
        canCompact={canCompact}
        send={sending.send}
        cancelEdit={sending.edit.cancel}
        attach={attach}
        focused={askPreview}
      />
    </div>
  );
}

interface IBoxProps extends IComposerProps {
  state: IComposerState;
  seen: IPreviewState;
  canCompact: boolean;
  send(now: boolean): void;
  cancelEdit(): void;
  attach: IAttach;
  focused(): void;
}

/** What is framed: pills, text with its menu, tools. */
function Box(props: IBoxProps): JSX.Element {
  const { trans, model, chat, state, seen } = props;
  const text = useText(model, state, chat.questions);
  const menu = useMenu(trans, text.trigger, model, state.automatic);
  const open = text.trigger !== null && menu.rows.length > 0;
  // With a space it may be a sentence: only what is found keeps the menu open.
  const named =
    text.trigger?.kind === 'mention' && !isSpaced(text.trigger.query);
  const drawn = open || named;
  const pickActive = usePickActive(props, text, menu);
  const keyPressed = (
    event: React.KeyboardEvent<HTMLTextAreaElement>
  ): void => {
    if (drawn && !open && event.key === 'Escape' && !composing(event)) {
      event.preventDefault();
      event.stopPropagation();
      text.closeMenu();
      return;
    }
    const { running } = chat;
    const { sendWith } = props;
    const action = text.keyPressed(event, { menu: open, running, sendWith });
    act(props, text, menu, pickActive, action);
  };
  return (
    <div className="jp-Cellar-box">
      {/* A waiting message keeps what was attached when it was written. */}
      {state.editing ? null : (
        <Pills
          trans={trans}
          state={state}
          preview={seen}
          status={chat.status}
          vision={chosenModel(chat.status, chat.model)?.vision}
          remove={key => model.remove(key)}
          restore={key => model.restore(key)}
          dismissUpload={upload =>
            model.setUploads(list => list.filter(row => row.id !== upload.id))
          }
        />
      )}
      {text.trigger && drawn ? (
        <Menu
          trans={trans}
          id={MENU_ID}
          menu={menu}
          kind={text.trigger.kind}
          status={chat.status}
          pick={row => pick(props, text, row)}
        />
      ) : null}
      <Area
        {...props}
        text={text}
        active={open ? optionId(MENU_ID, menu.active) : null}
        keyPressed={keyPressed}
      />
      <Tools
        {...props}
        seen={seen}
        attach={props.attach.files}
        mention={() => startMention(state, text)}
        send={() => props.send(false)}
      />
    </div>
  );
}

function act(
  props: IBoxProps,
  text: IText,
  menu: IMenu,
  pickActive: () => void,
  action: KeyAction
): void {
  switch (action) {
    case 'send':
    case 'send-now':
      return props.send(action === 'send-now');
    case 'stop':
      return props.actions.stop();
    case 'cancel-edit':
      return props.cancelEdit();
    case 'menu-next':
      return menu.move(1);
    case 'menu-previous':
      return menu.move(-1);
    case 'menu-pick':
      return pickActive();
    case 'menu-close':
      return text.closeMenu();
  }
}

/**
 * Picks the active row. While the rows still answer what was typed before, the key is
 * remembered and means the first row of the answer, unless more is typed until then.
 */
function usePickActive(props: IBoxProps, text: IText, menu: IMenu): () => void {
  const wanted = React.useRef<string | null>(null);
  const query = text.trigger?.query ?? null;
  const row = menu.rows[menu.active];
  React.useEffect(() => {
    if (
      wanted.current === null ||
      (wanted.current === query && !menu.current)
    ) {
      return;
    }
    const picks = wanted.current === query && row !== undefined;
    wanted.current = null;
    if (picks) {
      pick(props, text, row);
    }
  });
  return () => {
    if (menu.current) {
      pick(props, text, row);
    } else {
      wanted.current = query;
    }
  };
}

/** A row of the menu was chosen. */
function pick(props: IBoxProps, text: IText, row: MenuRow): void {
  const { model, state } = props;
  const trigger = text.trigger;
  if (
    !trigger ||
    (row.kind === 'mention' && isLocked(state.off, row.item.kind))
  ) {
    return;
  }
  if (row.kind === 'mention') {
    model.add([row.item]);
    text.edit(withMention(state.text, trigger, row.item.label));
  } else if (localCommand(`/${row.name}`)) {
    const rest = state.text.slice(trigger.start + 1 + trigger.query.length);
    text.edit({ text: rest.trimStart(), caret: 0 });
    runLocal(props, row.name);
  } else {
    text.edit(withCommand(state.text, trigger, row.name));
  }
}

function composing({ nativeEvent, keyCode }: React.KeyboardEvent): boolean {
  return nativeEvent.isComposing || keyCode === 229;
}

/** The `@` button: types the `@` where the caret is. */
function startMention(state: IComposerState, text: IText): void {
  const at = text.area.current?.selectionEnd ?? state.text.length;
  const before = state.text.slice(0, at);
  const mark = before === '' || /\s$/.test(before) ? '@' : ' @';
  text.edit({
    text: before + mark + state.text.slice(at),
    caret: at + mark.length
  });
}
