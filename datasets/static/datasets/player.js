// Draws the waveform of every [data-player] from the peaks that the server measured, and plays by keyboard.
"use strict";

(() => {
  if (window.earshotPlayer) return; // the partial may stand on a page more than once
  window.earshotPlayer = true;

  const JUMP = 2; // seconds

  function draw(player) {
    if (player.dataset.drawn) return;
    player.dataset.drawn = "yes";
    const style = getComputedStyle(player);
    const peaks = Float32Array.from(atob(player.dataset.peaks), (c) => c.charCodeAt(0) / 255);
    if (!peaks.length) return;
    WaveSurfer.create({
      container: player.querySelector(".player-waveform"),
      media: player.querySelector("audio"),
      peaks: [peaks],
      duration: Number(player.dataset.duration),
      height: 96,
      waveColor: style.getPropertyValue("--player-wave"),
      progressColor: style.getPropertyValue("--player-played"),
      cursorColor: style.getPropertyValue("--player-cursor"),
      cursorWidth: 2,
      dragToSeek: true,
    });
  }

  // Keys mean the player unless they mean something where the focus is.
  function keyIsTaken(target) {
    return target.closest("input, textarea, select, button, a, audio, summary, [contenteditable]");
  }

  // A pause that comes before the first sound interrupts play(), which is what was asked for.
  function play(audio) {
    audio.play().catch((error) => {
      if (error.name !== "AbortError") throw error;
    });
  }

  function onKey(event) {
    const audio = document.querySelector("[data-player] audio");
    if (!audio || keyIsTaken(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") audio.paused ? play(audio) : audio.pause();
    else if (event.key === "ArrowLeft") audio.currentTime = Math.max(0, audio.currentTime - JUMP);
    else if (event.key === "ArrowRight") audio.currentTime = Math.min(audio.duration || 0, audio.currentTime + JUMP);
    else return;
    event.preventDefault();
  }

  const drawAll = () => document.querySelectorAll("[data-player]").forEach(draw);
  document.addEventListener("keydown", onKey);
  document.addEventListener("htmx:load", drawAll);
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", drawAll) : drawAll();
})();
