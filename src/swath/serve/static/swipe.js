// The vertical divider between the two sides: by pointer, or by keyboard as a slider.

export function makeDivider(stage, handle, moved) {
  let share = 0.5;

  function set(value) {
    share = Math.min(1, Math.max(0, value));
    handle.style.left = `${share * 100}%`;
    handle.setAttribute('aria-valuenow', String(Math.round(share * 100)));
    moved(share);
  }

  handle.addEventListener('pointerdown', (event) => {
    handle.setPointerCapture(event.pointerId);
    handle.classList.add('dragged');
    event.preventDefault();
    handle.focus();
  });
  handle.addEventListener('pointermove', (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    const frame = stage.getBoundingClientRect();
    set((event.clientX - frame.left) / frame.width);
  });
  for (const end of ['pointerup', 'pointercancel']) {
    handle.addEventListener(end, () => handle.classList.remove('dragged'));
  }
  handle.addEventListener('keydown', (event) => {
    const step = event.shiftKey ? 0.1 : 0.02;
    const target = { ArrowLeft: share - step, ArrowRight: share + step, Home: 0, End: 1 }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    set(target);
  });
  set(share);
  return { set };
}
