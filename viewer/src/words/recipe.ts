/**
 * The names of the recipe's settings in both languages, and their help in French; the English help is the schema's own.
 * A test holds this list against the recipe: a setting without words fails it.
 */
import { language } from "../state/view";

/** Per setting: English name, French name, French help. */
export const SETTINGS: Record<string, readonly [string, string, string]> = {
  cfa: ["Colour filter pattern", "Matrice de couleur", "auto suit l’en-tête ; none traite les images comme monochromes."],
  exclude: ["Leave out files", "Écarter des fichiers", "Motifs de noms de fichiers (comme *_bad.fit) à écarter, séparés par des virgules."],
  join: ["Join groups", "Réunir les groupes", "Empiler ensemble les groupes d’une cible qui ne diffèrent que par le filtre ou les réglages de la caméra."],
  dark: ["Darks", "Darks", "auto : accord par gain, pose et température ; none ; ou un dossier ou un maître."],
  flat: ["Flats", "Flats", "auto : accord par taille, matrice et filtre ; none ; ou un dossier ou un maître."],
  bias: ["Bias", "Offsets (bias)", "auto : accord par gain et taille ; none ; ou un dossier ou un maître."],
  temperature_tolerance_c: ["Temperature tolerance", "Tolérance de température", "Écart permis de la température du capteur des darks, degrés C."],
  cosmetic: ["Hot and cold pixels", "Pixels chauds et froids", "D’où vient leur carte ; auto : des darks s’il y en a, sinon des images."],
  keep: ["Share to keep", "Part à garder", "Part des images à garder, les meilleures d’abord."],
  max_fwhm_px: ["Largest FWHM", "FWHM maximale", "Écarter les images dont la FWHM est plus grande, px."],
  max_eccentricity: ["Largest eccentricity", "Excentricité maximale", "Écarter les images aux étoiles plus allongées (0 rond, 1 un trait)."],
  min_stars: ["Fewest stars", "Minimum d’étoiles", "Écarter les images qui ont moins d’étoiles."],
  max_background_adu: ["Brightest sky", "Fond maximal", "Écarter les images au fond plus clair, ADU."],
  min_transparency: ["Least transparency", "Transparence minimale", "Écarter les images qui ont reçu moins de lumière des étoiles que cette part de celle de la référence."],
  reference: ["Reference", "Référence", "best, first, most_stars, ou le nom d’une image."],
  debayer: ["Debayering", "Dématriçage", "Comment la couleur est faite : une méthode par image (auto prend celle qui mesure le mieux), cfa pour prendre les couleurs droit du capteur, bayer-first pour empiler la mosaïque au pixel entier, none pour la garder, rgb pour bilinéaire."],
  kernel: ["Interpolation", "Interpolation", "Interpolation de l’unique rééchantillonnage."],
  window_px: ["Sampling window", "Fenêtre d’échantillonnage", "Largeur (sigma) de la fenêtre du dématriçage cfa, px."],
  model: ["Transform", "Transformation", "Modèle de la transformation ; auto choisit par le résidu."],
  align_mode: ["Alignment", "Alignement", "integer : pixels entiers pairs (garde la matrice) ; rgb_affine : sous-pixel ; auto décide par la rotation."],
  framing: ["Framing", "Cadrage", "Cadre : reference, union, intersection, ou une couverture comme 80%."],
  solve: ["Plate solving", "Astrométrie", "Trouver où se situe l’image : auto près de ce que dit l’en-tête, blind en cherchant aussi tout le ciel, off."],
  catalogue: ["Own star catalogue", "Catalogue personnel", "Un catalogue d’étoiles plus profond (CSV ou table FITS), en plus de celui qui est fourni."],
  normalise: ["Match levels", "Accord des niveaux", "Amener les images au niveau de la référence : fond, échelle de flux, ou les deux."],
  surface_order: ["Sky surface", "Surface du fond", "Ordre de la surface de différence des fonds : 0 constante, 1 plan, 2 quadratique."],
  weights: ["Weights", "Poids", "Ce que suit le poids d’une image."],
  rejection: ["Rejection", "Rejet", "Règle qui trouve satellites, rayons cosmiques et autres intrus."],
  sigma_low: ["Sigma below", "Sigma bas", "Limite sous le centre, en sigmas."],
  sigma_high: ["Sigma above", "Sigma haut", "Limite au-dessus du centre, en sigmas."],
  max_iterations: ["Iterations", "Itérations", "Nombre maximal d’itérations de la règle."],
  percentile_low: ["Percentile below", "Percentile bas", "Règle percentile : part sous la médiane à rejeter."],
  percentile_high: ["Percentile above", "Percentile haut", "Règle percentile : part au-dessus de la médiane à rejeter."],
  combine: ["Combination", "Combinaison", "Comment les valeurs gardées sont réunies."],
  trails: ["Satellite trails", "Traînées de satellites", "Trouver les traînées et les masquer sur toute leur longueur."],
  feather_px: ["Feather", "Fondu des bords", "Estomper chaque image sur ce nombre de pixels depuis son bord."],
  radial_feather: ["Radial feather", "Fondu radial", "Réduire le poids de chaque image vers ses coins : 0 non, 1 fort."],
  unit: ["Unit", "Unité", "normalised : 65535 ADU devient 1, comme l’attendent Siril et PixInsight ; adu garde les ADU."],
  crop: ["Crop previews", "Rogner les aperçus", "Rogner les aperçus aux pixels couverts par au moins cette part de la pose."],
  quicklook: ["Previews", "Aperçus", "Écrire les aperçus étirés PNG et TIFF."],
  maps: ["Maps", "Cartes", "Écrire les cartes de couverture, de variance et de rejet."],
  save_masters: ["Save masters", "Garder les maîtres", "Écrire les maîtres de calibration."],
  memory: ["Memory", "Mémoire", "Mémoire maximale du traitement, comme 512MB ou 2GB ; sinon : la moitié du libre, au plus 1GB."],
  threads: ["Threads", "Fils d’exécution", "Fils d’exécution ; sinon : les processeurs de la machine."],
  schedule: ["Schedule", "Ordonnancement", "cube : toutes les valeurs d’une tuile à la fois ; sweep : image après image ; auto décide par la taille."],
  scale_arcsec: ["Pixel scale", "Échelle", "Échelle du cadre, secondes d’arc par pixel ; sinon : celle des images."],
  rotation: ["Rotation", "Rotation", "north : le nord en haut ; auto : le plus petit cadre ; ou l’angle de position du haut, degrés."],
  projection: ["Projection", "Projection", "tan : gnomonique ; zea : zénithale équivalente ; auto : tan jusqu’à dix degrés, zea au-delà."],
  centre: ["Centre", "Centre", "Centre du cadre, RA,DEC en degrés, ICRS ; sinon : le milieu des images."],
  size: ["Size", "Taille", "Taille du cadre, LARGEURxHAUTEUR px ; sinon : toutes les images."],
  canvas: ["Canvas file", "Fichier de cadre", "Un fichier FITS dont le cadre prend les coordonnées et la taille (ses pixels ne servent pas)."],
  joint: ["Joint fit", "Ajustement commun", "Ajuster ensemble les positions de toutes les images, recouvrements compris ; sinon : chacune seule."],
  blend: ["Blending", "Fusion", "feather : les images s’estompent vers leurs bords ; multiband : les grandes structures sur une zone large, les petites sur une étroite."],
  bits: ["Numbers", "Nombres", "Nombres du fichier FITS de la mosaïque : float32 ; ou uint16, en 65535 pas égaux entre ses limites."],
  axes: ["Order of axes", "Ordre des axes", "Ordre des axes d’une mosaïque en couleur : plans d’abord (c, y, x), l’usage du FITS, ou en dernier."],
  hips: ["HiPS", "HiPS", "Écrire aussi un HiPS avec sa couverture (MOC), la forme où Aladin montre les grandes images."],
};

export function fieldLabel(name: string): string {
  const words = SETTINGS[name];
  return words ? words[language.value === "fr" ? 1 : 0] : name.replaceAll("_", " ");
}

export function fieldHelp(name: string, english: string): string {
  return language.value === "fr" ? SETTINGS[name]?.[2] ?? english : english;
}
