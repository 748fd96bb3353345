/**
 * Why a frame is left out, in French, per code of `LEFT_OUT_CODES` (skyquilt/core/frame.py), against which a test holds this list. The
 * sentence of the program, which has the figures, is English; it is the text in English and the detail in French.
 */
import { language } from "../state/view";

const REASONS: Record<string, string> = {
  alone: "Seule : rien ne la relie aux autres",
  blank: "Sans signal",
  blurred: "Floue",
  bright_sky: "Fond de ciel trop clair",
  changed: "Fichier modifié pendant le traitement",
  clouded: "Nuages",
  device_refused: "Refusée par l’appareil",
  device_stack: "Empilement fait par l’appareil",
  does_not_fit: "Ne s’accorde pas avec les autres",
  duplicate: "Doublon d’une autre image",
  excluded: "Exclue par un motif de nom",
  few_stars: "Trop peu d’étoiles",
  glitch_rows: "Lignes mal lues",
  gradient: "Gradient trop fort",
  hidden: "Fichier caché",
  low_score: "Note trop basse",
  no_stars: "Sans étoiles",
  noisy: "Trop de bruit",
  not_among_best: "Pas parmi les meilleures",
  not_listed: "Absente de la liste d’images",
  not_placed: "Sans place sur le ciel",
  not_registered: "Étoiles non reconnues",
  not_transparent: "Ciel trop peu transparent",
  own_output: "Résultat de skyquilt",
  permission: "Lecture interdite",
  saturated: "Saturée",
  stack: "Empilement, pas une brute",
  star_trails: "Image de filés d’étoiles",
  stray: "D’une autre sorte que les autres",
  thumbnail: "Vignette",
  trailed: "Étoiles étirées",
  truncated: "Fichier tronqué",
  unreadable: "Illisible",
  vanished: "Fichier disparu",
};

/** Return why a frame is left out, in the language of the person; a code that is not known is told by its sentence. */
export function reasonOf({ code, reason }: { code?: string | null; reason?: string | null }): string {
  return (language.value === "fr" && code ? REASONS[code] : undefined) ?? reason ?? "";
}
